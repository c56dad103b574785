"""The schemas of what is done with trained nets: conf/evaluate.yaml and conf/export.yaml. Free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from binlit.catalogue import Config
from binlit.catalogue.problems import problems_of
from binlit.catalogue.schema import Count, Place, Seed
from binlit.command.start_checks import check_checkpoint
from binlit.config.check import resolved
from binlit.config.schema import EvalDraws, Threads
from binlit.errors import ConfigError


def _classes(names: Any) -> list[str]:
    """The names of own classes; one needs no list."""
    named = [names] if isinstance(names, str) else names or []
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ValueError(f"trust={names} is not allowed; write the classes as trust=[my.module.Net]")
    return named


class _Asked(BaseModel):
    """null: as in the run."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Bits(_Asked):
    eval: Literal["auto", "sample", "threshold", "mean"] | None


class AveragedBits(Bits):
    eval_draws: EvalDraws | None


class Weights(_Asked):
    eval: Literal["threshold", "sample", "latent"] | None


class Episodes(_Asked):
    way: Annotated[int, Field(ge=2, le=10_000)] | None
    shot: Annotated[int, Field(ge=1, le=1000)] | None
    query: Annotated[int, Field(ge=1, le=1000)] | None
    test_episodes: Count | None


class _TrainedNet(_Asked):
    checkpoint: Place
    weight: Weights
    trust: Annotated[list[str], BeforeValidator(_classes)]


class Evaluation(_TrainedNet):
    binary: AveragedBits
    dataset: Episodes
    data_dir: Place
    seed: Seed | None
    threads: Threads


class Export(_TrainedNet):
    binary: Bits
    out: Place | None
    onnx: Place | None


def check_evaluation(cfg: DictConfig) -> Config:
    """The settings of `binlit.evaluate` as plain containers.

    Raises:
        ConfigError: checkpoint is missing or is none, or a setting is wrong.
    """
    asked = _checked(Evaluation, cfg, ", or checkpoint=outputs/NAME for all runs of a table")
    if not Path(asked["checkpoint"]).is_dir():
        check_checkpoint(Path(asked["checkpoint"]), "checkpoint")
    return asked


def check_export(cfg: DictConfig) -> Config:
    """The settings of `binlit.export` as plain containers.

    Raises:
        ConfigError: checkpoint is missing or is none, or a setting is wrong.
    """
    asked = _checked(Export, cfg)
    check_checkpoint(Path(asked["checkpoint"]), "checkpoint")
    return asked


def _checked(schema: type[_TrainedNet], cfg: DictConfig, several: str = "") -> Config:
    if "checkpoint" not in cfg or OmegaConf.is_missing(cfg, "checkpoint"):
        raise ConfigError(f"checkpoint is missing; write checkpoint=outputs/NAME/RUN/checkpoints/best.ckpt{several}")
    asked = resolved(cfg)
    if problems := problems_of(schema, asked, ""):
        raise ConfigError("\n".join(problems[:2]))
    return asked | {"trust": _classes(asked["trust"])}
