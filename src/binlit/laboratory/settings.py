"""The schema of a study of gradients (conf/gradients.yaml). Free of torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from binlit.catalogue import packaged, problem, split
from binlit.config.check import resolved
from binlit.config.read import Config
from binlit.errors import ConfigError, did_you_mean, nearest
from binlit.paths import config_dir

LARGEST = 12  # binary units: 4,096 configurations
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]


class Toys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    targets: list[Annotated[float, Field(gt=0, lt=0.5)]]
    steps: Count
    rate: Positive
    copies: Count


class Study(BaseModel):
    """What is measured, on which nets."""

    model_config = ConfigDict(extra="forbid", strict=True)
    estimators: Literal["all"] | list[str]
    units: Annotated[list[Annotated[list[Count], Field(min_length=1, max_length=2)]], Field(min_length=1)]
    inputs: Count
    examples: Count
    steps: Annotated[list[Natural], Field(min_length=1)]
    draws: Annotated[int, Field(ge=1000, multiple_of=1000)]
    settle: Natural
    epoch: Count
    seed: Natural
    options: dict[str, dict[str, Any]]
    toys: Toys
    threads: Count | Literal["auto"]
    output_dir: str


def check_study(cfg: DictConfig) -> Config:
    """The study's config as plain containers, `estimators` as a list of names.

    Raises:
        ConfigError: the first thing that is wrong.
    """
    study = resolved(cfg)
    try:
        Study.model_validate(study)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = str(detail["loc"][0])
        if detail["type"] == "extra_forbidden":
            raise ConfigError(
                f"there is no setting '{key}'; did you mean {nearest(key, Study.model_fields)}?"
            ) from error
        raise ConfigError(f"{key}={study.get(key)!r} is not allowed: {detail['msg']}") from error
    for units in study["units"]:
        if sum(units) > LARGEST:
            raise ConfigError(f"units={units} are {sum(units)} in all: enumeration is kept to {LARGEST}")
    known = list(packaged("estimator"))
    study["estimators"] = known if study["estimators"] == "all" else study["estimators"]
    for name in [*study["estimators"], *study["options"]]:
        if name not in known:
            raise ConfigError(f"estimator {name} does not exist{did_you_mean(name, known)}; choose {', '.join(known)}")
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
    try:
        plain = OmegaConf.to_container(OmegaConf.create({"passes": None, "estimator": node}).estimator, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"options.{name}.{error.full_key} is missing; give it a value") from error
    assert isinstance(plain, dict)
    node, _ = split("estimator", {str(key): value for key, value in plain.items()})
    one = packaged("estimator")[name]
    for key, text in one.ranges.items():
        if wrong := problem(f"options.{name}.{key}", node.get(key), text):
            raise ConfigError(wrong)
    counts = node.get(one.facts.per_site, one.facts.fewest_draws)
    if (max(counts) if isinstance(counts, list) else counts) < one.facts.fewest_draws:
        raise ConfigError(f"options.{name}.{one.facts.per_site}={counts}: it needs at least {one.facts.fewest_draws}")
    return node
