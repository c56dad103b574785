"""The schema of a study of gradients (conf/gradients.yaml). Free of torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field
from yaml import YAMLError

from binlit.catalogue import Config, option, option_meant, packaged, split
from binlit.catalogue.folders import given_folders, options_of
from binlit.catalogue.problems import problems_of
from binlit.catalogue.schema import Count, Place, Rate, Seed, schema_of, schema_of_own
from binlit.config.check import resolved
from binlit.config.schema import Threads
from binlit.errors import ConfigError
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
    ours, folders = list(packaged("estimator")), given_folders()
    known = list(dict.fromkeys([*ours, *options_of("estimator", folders)]))
    study["estimators"] = ours if study["estimators"] == "all" else study["estimators"]
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
        ConfigError: there is no such file, a key does not exist, or a value is not allowed.
    """
    node = _of_file(name)
    for key, value in options.items():
        if key not in node:
            raise ConfigError(f"options.{name}.{key}: there is no such option; known: {', '.join(map(str, node))}")
        node[key] = value
    try:  # within a run that says nothing of passes
        plain = OmegaConf.to_container(OmegaConf.create({"passes": None, "estimator": node}).estimator, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"options.{name}.{error.full_key} is missing; give it a value") from error
    assert isinstance(plain, dict)
    plain, stated = split("estimator", {str(key): value for key, value in plain.items()})
    one = option("estimator", plain | stated)
    schema = schema_of_own(one) if one.own else schema_of("estimator", one.name)
    if problems := problems_of(schema, plain, f"options.{name}"):
        raise ConfigError(problems[0])
    if "surrogate" not in plain:
        raise ConfigError(f"estimators: {name} has no surrogate; add 'surrogate: logistic' to its YAML, or another")
    counts = plain.get(one.facts.per_site, one.facts.fewest_draws)
    if (max(counts) if isinstance(counts, list) else counts) < one.facts.fewest_draws:
        raise ConfigError(f"options.{name}.{one.facts.per_site}={counts}: it needs at least {one.facts.fewest_draws}")
    return plain


def _of_file(name: str) -> DictConfig:
    """The node of an estimator's file, a user's before binlit's, with that of the options that it starts from."""
    paths = [folder / "estimator" / f"{name}.yaml" for folder in (*given_folders(), config_dir())]
    try:
        node = OmegaConf.load(next(path for path in paths if path.is_file()))
        assert isinstance(node, DictConfig)
        bases = [_of_file(base) for base in node.pop("defaults", []) if isinstance(base, str) and base != "_self_"]
    except (StopIteration, YAMLError, RecursionError) as error:
        raise ConfigError(f"estimators: {name} cannot be read; mend its YAML, or leave it out") from error
    merged = OmegaConf.merge(*bases, node)
    assert isinstance(merged, DictConfig)
    return merged
