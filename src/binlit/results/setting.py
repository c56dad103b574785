"""What a run was told that tells it from others: the settings of its command line that its row does not show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from binlit.catalogue import Config
from binlit.config import fingerprint
from binlit.config.outcome import WITHOUT_EFFECT, WITHOUT_EFFECT_IN
from binlit.results.record import read_manifest

IN_ROW = ("seed", "estimator", "anneal", "binary.layer", "binary.weights", "binary.mode", "binary.share", "ckpt_path")
SILENT = {f"{group}.{key}" for group, keys in WITHOUT_EFFECT_IN.items() for key in keys}


def setting_of(cfg: Config, overrides: Iterable[str], sweep: Path | None) -> dict[str, Any]:
    """{setting: value} of a run: in a sweep of what the jobs differ in, else of all that was given.

    Args:
        cfg: the checked config.
        overrides: the words of the command line.
        sweep: the folder that the sweep fills; None for a single run.
    """
    jobs = read_manifest(sweep) if sweep else []
    told = next((job["setting"] for job in jobs if job["fingerprint"] == fingerprint(cfg) and "setting" in job), None)
    return resolved(cfg, given(overrides)) if told is None else told


def given(overrides: Iterable[str]) -> dict[str, str]:
    """{key: value} as typed, without what the row shows and what has no effect on the result."""
    found = {}
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        top = key.partition(".")[0]
        if key not in IN_ROW and key not in SILENT and top not in (*WITHOUT_EFFECT, "hydra") and "/" not in key:
            found[key] = value
    return found


def varying(jobs: Sequence[Mapping[str, str]]) -> set[str]:
    """The settings in which jobs differ."""
    names = {name for job in jobs for name in job}
    return {name for name in names if len({job.get(name) for job in jobs}) > 1}


def resolved(cfg: Config, settings: Mapping[str, str]) -> dict[str, Any]:
    """The settings with the values that they came to; as typed where the config has no such value, but a group."""
    return {name: _value(cfg, name, typed) for name, typed in settings.items()}


def in_words(settings: Mapping[str, Any]) -> str:
    """`optimizer.lr=0.1, dataset=mnist`."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _value(cfg: Config, name: str, typed: str) -> Any:
    node: Any = cfg
    for part in name.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return typed if node is None or isinstance(node, dict) else node
