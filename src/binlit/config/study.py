"""The schema of a study of gradients (conf/gradients.yaml). Free of torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from binlit.config.check import resolved
from binlit.config.option import Count, Positive
from binlit.config.read import Config, ConfigError, nearest
from binlit.config.schema import OPTIONS
from binlit.paths import config_dir

LARGEST = 12  # binary units: 4,096 configurations
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
    known = list(OPTIONS["estimator"])
    study["estimators"] = known if study["estimators"] == "all" else study["estimators"]
    for name in [*study["estimators"], *study["options"]]:
        if name not in known:
            near = nearest(name, known)
            hint = f" (did you mean {near}?)" if near else ""
            raise ConfigError(f"estimator {name} does not exist{hint}; choose {', '.join(known)}")
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
        plain = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"options.{name}.{error.full_key} is missing; give it a value") from error
    assert isinstance(plain, dict)
    try:
        OPTIONS["estimator"][name].model_validate(plain)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        message = detail.get("ctx", {}).get("error") or f"{detail['loc'][0]}={detail['input']!r}: {detail['msg']}"
        raise ConfigError(f"options.{name}: {message}") from error
    return {str(key): value for key, value in plain.items()}
