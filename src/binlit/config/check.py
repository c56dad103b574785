"""Checks a composed config before anything is built or read, and says in a line or two what to write instead."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from binlit.config.callback_options import part_of, without_idle
from binlit.config.catalogue import groups, targets_of
from binlit.config.cost import too_large
from binlit.config.device import on_this_machine
from binlit.config.fit import NAMED_CLASSES, contradictions
from binlit.config.option import OwnOption
from binlit.config.problems import problems_of
from binlit.config.read import Config, ConfigError, did_you_mean
from binlit.config.schema import OPTIONS, Run, Weight
from binlit.config.words import check_choice


def check(cfg: DictConfig | Config) -> Config:
    """The config as plain containers, every interpolation resolved, once it has passed the schema.

    Raises:
        ConfigError: the first few things that are wrong, one line each.
    """
    if isinstance(cfg, DictConfig):
        cfg = on_this_machine(resolved(cfg))
    cfg = _count_classes(cfg)
    if isinstance(cfg.get("callbacks"), dict):
        cfg = cfg | {"callbacks": without_idle(cfg["callbacks"])}
    problems = problems_of(Run, cfg, "")
    if not problems:  # what is wrong at the top often comes back in a group that repeats it
        for group in OPTIONS:
            problems += _option_problems(group, cfg.get(group), group)
        problems += _option_problems("estimator", (cfg.get("weight") or {}).get("estimator"), "weight.estimator")
        for group in ("callbacks", "logger"):
            for name, node in cfg[group].items():
                problems += problems_of(part_of(node), node, f"{group}.{name}") if node is not None else []
    if not problems:
        problems = list(contradictions(cfg))
    if problems:
        raise ConfigError("\n".join(problems[:2]))
    return cfg


def check_start(cfg: Config, words: Iterable[str]) -> None:
    """Refuses what only a run about to start can be refused for.

    An option that does not exist (Hydra lets it pass in optional groups), a checkpoint that is not there, a run that
    is beyond this machine.

    Args:
        cfg: a checked config.
        words: the settings that it was composed of.

    Raises:
        ConfigError: naming the setting.
    """
    for word in words:
        key, _, choice = word.partition("=")
        if key in groups():
            check_choice(key, choice)
    if cfg["ckpt_path"] is not None:
        check_checkpoint(Path(cfg["ckpt_path"]), "ckpt_path")
    for problem in too_large(cfg):
        raise ConfigError(problem)


def check_checkpoint(path: Path, key: str) -> None:
    """Refuses what is no checkpoint at first sight, before torch is loaded to read it.

    Raises:
        ConfigError: there is no such file, or it is no archive as torch writes it.
    """
    if not path.is_file():
        raise ConfigError(
            f"{key}={path} is no file; give a run's checkpoints/last.ckpt to go on from, best.ckpt to test"
        )
    try:
        archive = zipfile.is_zipfile(path)
    except OSError as error:
        raise ConfigError(
            f"{key}={path} cannot be read as a checkpoint ({error.strerror}); give a run's own"
        ) from error
    if not archive:
        raise ConfigError(
            f"{key}={path} cannot be read as a checkpoint; give a run's checkpoints/last.ckpt or best.ckpt"
        )


def resolved(cfg: DictConfig) -> Config:
    """The config without Hydra's part as plain containers, interpolations resolved.

    Raises:
        ConfigError: a value is missing or cannot be resolved.
    """
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    try:
        container = OmegaConf.to_container(plain, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(unresolved(error)) from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def unresolved(error: OmegaConfBaseException) -> str:
    """What is wrong with an interpolation or a missing value, and what to write instead."""
    key, said = error.full_key or "config", str(error).splitlines()[0]
    if isinstance(error, MissingMandatoryValue):
        return f"{key}=??? stands for a value that is missing; write {key}=VALUE"
    if found := re.search(r"Environment variable '(.*)' not found", said):
        return f"{key}: the environment has no {found[1]}; set it, or give a default, ${{oc.env:{found[1]},DEFAULT}}"
    if found := re.search(r"Interpolation key '(.*)' not found", said):
        return f"{key}: there is no setting '{found[1]}' for ${{{found[1]}}}; give the value itself, {key}=VALUE"
    said = said.rpartition("raised while resolving interpolation: ")[2]
    return f"{key} cannot be made out: {said}; give the value itself, {key}=VALUE"


def _count_classes(cfg: Config) -> Config:
    """The config with `dataset.classes=all` as a number, and whatever follows it.

    Raises:
        ConfigError: there is no such name.
    """
    data, model = cfg.get("dataset"), cfg.get("model")
    if not isinstance(data, dict) or not isinstance(data.get("classes"), str):
        return cfg
    named, said = NAMED_CLASSES.get(str(data.get("name")), {}), data["classes"]
    if named and said not in named:
        hint = did_you_mean(said, named)
        raise ConfigError(f"dataset.classes={said} is not allowed; choose {', '.join(named)}, or a number ≥ 2{hint}")
    if said in named:
        rotations = data.get("rotations")
        count = named[said] * (len(rotations) if isinstance(rotations, list) and rotations else 1)
        cfg = cfg | {"dataset": data | {"classes": count}}
        if isinstance(model, dict) and model.get("classes") == said:
            cfg["model"] = model | {"classes": count}
    return cfg


def _option_problems(group: str, node: Config | None, path: str) -> list[str]:
    """Those of one group's option; None for a group that records from before it was there lack."""
    if node is None:
        return []
    own = Weight if group == "weight" else OwnOption  # ways to make weights binary differ in values, never in keys
    return problems_of(OPTIONS[group].get(str(node.get("name")), own), node, path) or _other_class(group, node, path)


def _other_class(group: str, node: Config, path: str) -> list[str]:
    """An option under a name that is not its own: rows, checks and recipes would take it for another."""
    ours, name, target = targets_of(group), str(node["name"]), node["_target_"]
    if name in OPTIONS[group] and target != ours.get(name):
        return [
            f"{path}._target_={target} is not what {group}={name} builds, {ours.get(name)}; leave it out, or give a "
            f"class of your own a name of its own as well, {path}.name=NAME"
        ]
    if name in OPTIONS[group] or group == "weight":
        return []
    if target is None:
        return [
            f"{path}.name={name} names no class to build; choose {group}=OPTION{did_you_mean(name, OPTIONS[group])}"
        ]
    owners = [known for known, built in ours.items() if built == target]
    if owners and owners[0] in OPTIONS[group]:
        return [f"{path}.name={name} does not change the option; it is {owners[0]}: choose one with {group}=OPTION"]
    return []
