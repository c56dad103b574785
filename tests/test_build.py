"""From a config to the objects of a run."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir

import binlit.command.entry  # noqa: F401  (registers what configs are written with)
from binlit.config import check
from binlit.errors import ConfigError
from binlit.paths import config_dir
from binlit.running.build import build_net


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ("features.act9", "model=resnet: site 'features.act9' does not exist"),
        (
            "features",
            r"model=resnet: layer 'features' \(ModuleDict\) is never called, its parts are: name these",
        ),
    ],
)
def test_a_site_that_cannot_be_binary_is_an_error_of_the_config(site, message):
    with initialize_config_dir(str(config_dir().absolute()), version_base="1.3"):
        cfg = check(compose("config", ["model=bireal_resnet", "binary.layer=1"]))
    cfg["model"]["sites"] = [site]  # as a model of the user's own may say
    with pytest.raises(ConfigError, match=message):
        build_net(cfg)
