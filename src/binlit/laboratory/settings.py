"""The schema of a study of gradients (conf/gradients.yaml). Free of torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field

from binlit.catalogue import option_meant, packaged, split
from binlit.config.check import resolved
from binlit.config.option import Count, Place, Rate, Seed, schema_of
from binlit.config.problems import problems_of
from binlit.config.read import Config, ConfigError
from binlit.config.schema import Threads
from binlit.paths import config_dir

LARGEST = 12  # binary units: 4,096 configurations
Natural = Annotated[int, Field(ge=0, le=100_000)]
Few = Annotated[int, Field(ge=1, le=1_000)]


class Toys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    targets: list[Annotated[float, Field(gt=0, lt=0.5)]]
    steps: Count
    rate: Rate
    copies: Annotated[int, Field(ge=1, le=1_000_000)]


class Study(BaseModel):
    """What is measured, on which nets."""

    model_config = ConfigDict(extra="forbid", strict=True)
    estimators: Literal["all"] | list[str]
    units: Annotated[list[Annotated[list[Count], Field(min_length=1, max_length=2)]], Field(min_length=1)]
    inputs: Few
    examples: Few
    steps: Annotated[list[Natural], Field(min_length=1)]
    draws: Annotated[int, Field(ge=1000, le=1_000_000, multiple_of=1000)]
    settle: Natural
    epoch: Count
    seed: Seed
    options: dict[str, dict[str, Any]]
    toys: Toys
    threads: Threads
    output_dir: Place


def check_study(cfg: DictConfig) -> Config:
    """The study's config as plain containers, `estimators` as a list of names.

    Raises:
        ConfigError: the first thing that is wrong.
    """
    study = resolved(cfg)
    if problems := problems_of(Study, study, ""):
        raise ConfigError("\n".join(problems[:2]))
    for units in study["units"]:
        if sum(units) > LARGEST:
            raise ConfigError(f"units={units} are {sum(units)} in all: enumeration is kept to {LARGEST}")
    known = list(packaged("estimator"))
    study["estimators"] = known if study["estimators"] == "all" else study["estimators"]
    for name in [*study["estimators"], *study["options"]]:
        if name not in known:
            raise ConfigError(
                f"estimators: {name} does not exist; choose {', '.join(known)}{option_meant('estimator', name, known)}"
            )
    for name in study["estimators"]:
        estimator_node(name, study["options"].get(name, {}))
    return study


def estimator_node(name: str, options: Config) -> Config:
    """The option file of an estimator with some keys changed, checked.

    Raises:
        ConfigError: a key does not exist, or a value is not allowed.
    """
    node = OmegaConf.load(config_dir() / "estimator" / f"{name}.yaml")
    assert isinstance(node, DictConfig)
    for key, value in options.items():
        if key not in node:
            raise ConfigError(f"options.{name}.{key}: there is no such option; known: {', '.join(map(str, node))}")
        node[key] = value
    try:  # within a run that says nothing of passes
        plain = OmegaConf.to_container(OmegaConf.create({"passes": None, "estimator": node}).estimator, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"options.{name}.{error.full_key} is missing; give it a value") from error
    assert isinstance(plain, dict)
    plain, _ = split("estimator", {str(key): value for key, value in plain.items()})
    one = packaged("estimator")[name]
    if problems := problems_of(schema_of("estimator", name), plain, f"options.{name}"):
        raise ConfigError(problems[0])
    counts = plain.get(one.facts.per_site, one.facts.fewest_draws)
    if (max(counts) if isinstance(counts, list) else counts) < one.facts.fewest_draws:
        raise ConfigError(f"options.{name}.{one.facts.per_site}={counts}: it needs at least {one.facts.fewest_draws}")
    return plain
