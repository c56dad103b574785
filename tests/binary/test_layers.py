"""Which layers words mean: the same on the command line and in Python."""

from __future__ import annotations

import pytest
from tests.config.test_check import composed
from torch import nn

from binlit import binarize
from binlit.binary import binary_units
from binlit.binary.layers import canonical
from binlit.errors import ConfigError

SITES = [f"features.act{number}" for number in (1, 2, 3, 4)]
WORDS = {
    None: [],
    "none": [],
    "all": [1, 2, 3, 4],
    "inner": [2, 3],
    "first": [1],
    "last": [4],
    3: [3],
    "3": [3],
    "features.act2": [2],
    ("all",): [1, 2, 3, 4],
    ("inner",): [2, 3],
    (1, "inner"): [1, 2, 3],
    ("last", "first"): [1, 4],
    (4, 4, "last"): [4],
    ("features.act2", "output", 1): [1, 2, "output"],
    ("all", "output"): [1, 2, 3, 4, "output"],
}


def written(words) -> str:
    """As it is written on a command line."""
    return f"[{','.join(map(str, words))}]" if isinstance(words, tuple) else "null" if words is None else str(words)


@pytest.mark.parametrize(("words", "meant"), WORDS.items())
def test_words_mean_the_same_on_the_command_line_and_in_python(words, meant):
    words = list(words) if isinstance(words, tuple) else words
    assert canonical(words, SITES) == meant
    net = nn.Sequential()
    net.features = nn.Sequential()
    for number in (1, 2, 3, 4):
        net.features.add_module(f"fc{number}", nn.Linear(8, 8))
        net.features.add_module(f"act{number}", nn.ReLU())
    net.add_module("classifier", nn.Linear(8, 3))
    if "output" in meant:
        with pytest.warns(UserWarning, match="output"):
            binarize(net, words)
    else:
        binarize(net, words)
    sites = [SITES[one - 1] if isinstance(one, int) else "classifier" for one in meant]
    assert [unit.site for unit in binary_units(net)] == sites


@pytest.mark.parametrize("words", [words for words in WORDS if words != ("features.act2", "output", 1)])
def test_a_config_takes_the_same_words(words):
    cfg = composed("model=mlp", "model.hidden=[10,10,10,10]", f"binary.layer={written(words)}")
    assert cfg["model"]["sites"] == SITES
    from binlit.config.layers import chosen_layers

    assert chosen_layers(cfg) == [str(one) for one in WORDS[words]]


@pytest.mark.parametrize("layer", [0, 5, -1, "act9", True])
def test_what_no_net_has_is_refused_in_both(layer):
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
    with pytest.raises(ValueError, match="does not exist"):
        binarize(net, layer)
    with pytest.raises(ConfigError, match=r"binary\.layer=.* (does not exist|is not allowed)"):
        composed("model=mlp", "model.hidden=[10,10]", f"binary.layer={layer}")


def test_inner_needs_three(monkeypatch):
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
    with pytest.raises(ValueError, match=r"layers='inner' leaves nothing: this net has 2 sites"):
        binarize(net, "inner")
    with pytest.raises(ConfigError, match=r"binary\.layer=inner leaves nothing binary"):
        composed("model=mlp", "model.hidden=[10,10]", "binary.layer=inner")


def test_layers_of_weights_go_by_the_same_words():
    from binlit import binarize_weights
    from binlit.binary import binary_weights

    net = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
    binarize_weights(net, ["inner"])
    assert list(binary_weights(net)) == ["1", "2"]
