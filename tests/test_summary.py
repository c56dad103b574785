"""The model summary: counts by hand, and whether what is called binary is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import binlit
from binlit.binary import latent
from binlit.binary.inventory import inventory, is_binary, latent_layers, totals
from binlit.model import Mlp
from binlit.summary import main as summary
from in_process import exit_status


def main(words: list[str]) -> int:
    return exit_status(summary, words)


def net() -> Mlp:
    return Mlp(inputs=100, hidden=(70, 30), classes=10, norm="hidden", activation="hard_tanh")


def test_counts_by_hand():
    model = binlit.binarize(net(), "all", "st_clipped", mode="deterministic", levels="pm1")
    binlit.binarize_weights(model, [1, 2])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lines = {line.name: line for line in inventory(model, torch.randn(2, 100))}
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    first, second, last = lines["features.fc1"], lines["features.fc2"], lines["classifier"]
    assert (first.weight, first.input_bits, first.bits, first.floats) == ("±1", 32, 7000, 0)
    assert (first.binary_macs, first.mixed_macs, first.float_macs) == (0, 7000, 0)
    assert (second.weight, second.input_bits, second.binary_macs) == ("±1", 1, 2100)
    assert (last.weight, last.input_bits, last.mixed_macs, last.floats) == ("real", 1, 300, 310)
    assert first.packed == 70 * 128 // 8  # 100 weights fill two words
    assert second.memory == -(-2100 // 8)
    assert lines["features.bn1"].floats == 4 * 70
    sums = totals(list(lines.values()))
    assert sums["bits"] == 9100
    assert sums["floats"] == 4 * 100 + 310
    assert sums["float_memory"] == 4 * (9100 + 710)


def test_convolutions_count_every_position():
    model = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False))
    binlit.binarize_weights(model, scale="xnor", init="model")
    (line,) = inventory(model, torch.randn(2, 4, 8, 8))
    assert line.shape == (6, 4, 4)
    assert line.mixed_macs == 6 * 4 * 4 * 2 * 9
    assert (line.weight, line.bits, line.floats) == ("±a", 6 * 2 * 9, 6)


def test_what_is_not_binary_is_not_called_so():
    model = binlit.binarize_weights(net(), mode="stochastic", evaluation="latent")
    assert {line.weight for line in inventory(model, torch.randn(2, 100)) if line.weight} == {"real"}
    assert latent_layers(model) == ["features.fc1", "features.fc2", "classifier"]
    half = binlit.binarize(net(), 1, "st", share=0.5)
    assert [line.input_bits for line in inventory(half, torch.randn(2, 100)) if line.weight] == [32, 32, 32]
    assert not is_binary(torch.tensor([0.0, 0.5, 1.0]))
    assert not is_binary(torch.zeros(3))


def test_a_layer_that_is_called_twice_has_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(70, 70, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.fc(x).tanh())

    (line,) = inventory(binlit.binarize_weights(Twice()), torch.randn(2, 70))
    assert (line.bits, line.mixed_macs) == (4900, 2 * 4900)


def test_one_weight_a_channel_is_binary_where_it_is_one():
    layer = nn.Linear(1, 8, bias=False)
    assert inventory(nn.Sequential(layer), torch.randn(2, 1))[0].weight == "real"
    assert inventory(nn.Sequential(binlit.binarize_weights(layer, scale="none")), torch.randn(2, 1))[0].weight == "±1"


def test_a_latent_weight_of_zero_is_a_bit_too():
    model = binlit.binarize_weights(net(), 1)
    with torch.no_grad():
        latent(model, "features.fc1").zero_()
    assert inventory(model, torch.randn(2, 100))[0].weight == "±1"


def test_the_command_needs_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["+experiment=bnn_mnist_mlp", "model=bnn_mlp_1024"]) == 0
    said = capsys.readouterr().out
    assert "2.91 M" in said  # 784 * 1024 + 2 * 1024^2 + 1024 * 10
    assert "times smaller" in said
    assert main(["+experiment=binaryconnect_mnist_mlp"]) == 0
    assert "tested with the real latent ones: features.fc1" in capsys.readouterr().out.replace("\n", " ")
    assert main(["+experiment=annealing_mnist", "dataset=digits"]) == 0  # of a sweep: the net that all rows start from
    assert capsys.readouterr().out.count("classifier") == 1
    assert not list(tmp_path.iterdir())


def test_the_command_takes_options_of_the_users(tmp_path, capsys):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("defaults: [mlp]\nname: mlp\nhidden: [17]\n")
    assert main(["-cd", str(tmp_path), "model=mine"]) == 0
    assert "13.50 k" in capsys.readouterr().out  # 784 * 17 + 17 * 10 weights, no biases


@pytest.mark.parametrize(
    ("words", "part"), [(["binary.wieghts=all"], "binary.weights"), (["model=mpl"], "did you mean mlp")]
)
def test_a_slip_is_explained(words, part, capsys):
    assert main(words) == 2
    assert part in capsys.readouterr().err
