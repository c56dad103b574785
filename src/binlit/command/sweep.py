"""The jobs of a sweep: what they are, composed and checked before the first one starts, each outcome once.

Hydra reads every file again for each job that it composes, 45 ms or more. Jobs that choose the same options differ in
plain settings alone (`key=value`): their options are composed once, and the settings put into a copy.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from binlit.catalogue import GROUPS, Config, packaged
from binlit.catalogue.folders import given_folders
from binlit.command.hydra_errors import translated
from binlit.command.start_checks import check_start
from binlit.config import check, fingerprint, row_of, run_folder
from binlit.config.outcome import WITHOUT_EFFECT
from binlit.config.training import training_of
from binlit.errors import ConfigError
from binlit.results.reading import Record
from binlit.results.record import finished


class Job:
    """One job of a sweep: the words that make its config, and where it lands (folder/subdir)."""

    def __init__(self, words: list[str], cfg: Config, folder: Path, subdir: str) -> None:
        self.words, self.cfg, self.folder, self.subdir = words, cfg, folder, subdir
        self.identity = fingerprint(cfg)

    @cached_property
    def training(self) -> str | None:
        """What it has in common with jobs that differ from it in the evaluation alone; see `binlit.config.training`."""
        return training_of(self.cfg)

    @cached_property
    def begun(self) -> bool:
        """Whether it has epochs of its own to go on from."""
        return self.cfg["resume"] and (self.folder / self.subdir / "checkpoints" / "last.ckpt").exists()

    @cached_property
    def done(self) -> bool:
        """Whether there is nothing left of it to run."""
        return self.cfg["resume"] and self.finished()

    def record(self) -> Record | None:
        """The record of it, where it has ended well."""
        return finished(self.folder / self.subdir, self.identity)

    def finished(self, other_than: Record | None = None) -> bool:
        """Whether it has ended well, with another record than one that is to be made anew."""
        record = self.record()
        return record is not None and (self.cfg["resume"] or record != other_than)


def in_trainings(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs grouped by training: the first of a group is trained, and the others are tested in its training."""
    groups: dict[Any, list[Job]] = {}
    for number, job in enumerate(jobs):
        one = number if job.training is None else (job.folder, job.training)
        groups.setdefault(one, []).append(job)
    found = []
    for group in groups.values():
        begun = [job for job in group if job.begun]
        fresh = [job for job in group if not job.begun]
        first, *others = begun or fresh
        # Several that have begun, each by itself, go on so.
        found += [[first, *(fresh if begun else others)], *([job] for job in (others if begun else ()))]
    return found


class FailedJobsError(SystemExit):
    """Jobs of a sweep failed, and their records say why; the exit status is 1.

    Attributes:
        jobs: all of the sweep, those that were done before too.
    """

    def __init__(self, jobs: list[Job]) -> None:
        super().__init__(1)
        self.jobs = jobs


class Composer:
    """Composes jobs as `loader.load_sweep_config(sweep, words)` does.

    Args:
        loader: Hydra's, as its context hands it to a sweeper.
        sweep: the config of the sweep itself.
    """

    def __init__(self, loader: ConfigLoader, sweep: DictConfig) -> None:
        self.loader, self.sweep = loader, sweep
        self._parsed = cache(OverridesParser.create().parse_override)
        self._is_group = cache(self._lists_options)
        # Pickled: a copy is made in a quarter of the time that deepcopy takes.
        self._options = cache(lambda words: pickle.dumps(loader.load_sweep_config(sweep, list(words))))

    def compose(self, words: Sequence[str]) -> DictConfig:
        """A config of its own for these words.

        Raises:
            HydraException: a word is wrong, as Hydra itself says it.
        """
        try:
            overrides = [self._parsed(word) for word in words]
            first, settings = self._split(overrides)
            cfg = pickle.loads(self._options(tuple(str(override.input_line) for override in first)))
            for setting in settings:
                OmegaConf.update(cfg, setting.key_or_group, setting.value(), merge=True)
        except (HydraException, OmegaConfBaseException):
            return self.loader.load_sweep_config(self.sweep, list(words))
        own = [override for override in overrides if not override.is_hydra_override()]
        cfg.hydra.overrides.task, how = [override.input_line for override in own], cfg.hydra.job.config.override_dirname
        named = sorted(str(override.input_line) for override in own if override.key_or_group not in how.exclude_keys)
        cfg.hydra.job.override_dirname = how.item_sep.join(named).replace("=", how.kv_sep)
        return cfg

    def _split(self, overrides: Sequence[Override]) -> tuple[list[Override], list[Override]]:
        """Those that Hydra has to compose, and the settings that can be put in afterwards; both in order.

        Hydra chooses options, adds (+, ++) and deletes (~). A setting that comes before an addition to the same place,
        or before any deletion, is left to it too.
        """
        first, settings, marked = list[Override](), list[Override](), list[Override]()
        for override in reversed(overrides):
            if self._is_group(override.key_or_group) and not isinstance(override.value(), dict):
                first.append(override)
            elif _is_plain(override) and not any(other.is_delete() or _meet(override, other) for other in marked):
                settings.append(override)
            else:
                first.append(override)
                marked.append(override)
        return first[::-1], settings[::-1]

    def _lists_options(self, key: str) -> bool:
        """Whether there is a group of this name, in conf/ or in a user's folder."""
        hydra = self.sweep.hydra
        return bool(self.loader.get_group_options(key, None, hydra.job.config_name, list(hydra.overrides.hydra)))


def _is_plain(override: Override) -> bool:
    """Whether it gives a value to a setting that is there."""
    marked = override.type is not OverrideType.CHANGE or override.package is not None
    return not (marked or override.is_sweep_override() or override.is_hydra_override())


def _meet(override: Override, other: Override) -> bool:
    """Whether one's place is the other's, or within it."""
    one, two = (f"{each.key_or_group}." for each in (override, other))
    return one.startswith(two) or two.startswith(one)


def words_of_jobs(overrides: Iterable[Override]) -> list[list[str]]:
    """The words of each job: every combination of the values that settings have, the last one's moving fastest.

    A setting that is given again takes the place of the first.

    Raises:
        ConfigError: the values of one cannot be counted.
    """
    choices: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_interval_sweep():
            raise ConfigError(f"{override.input_line} has no end of values; write some, with commas between")
        values = (
            override.sweep_string_iterator() if override.is_sweep_override() else [override.get_value_element_as_str()]
        )
        choices[key] = [f"{key}={value}" for value in values]
    return [list(words) for words in itertools.product(*choices.values())]


def for_jobs_alone(words: Iterable[str]) -> dict[str, str]:
    """{word: the same as a sweep over one value}, for settings that only some options of their group have.

    Hydra first composes a config of the sweep itself. In that no option is chosen that is swept over, and a setting of
    such an option is refused; but sweeps, if only over one value, are left to the jobs.
    """
    parsed = {word: OverridesParser.create().parse_override(word) for word in words}
    if any(override.key_or_group == "hydra/sweeper" for override in parsed.values()):
        return {}  # to another sweeper a choice of one is something to search
    return {
        word: f"{override.key_or_group}=choice({override.get_value_element_as_str()})"
        for word, override in parsed.items()
        if _is_plain(override) and override.value() != "" and _only_some_have(override.key_or_group)
    }


def _only_some_have(key: str) -> bool:
    group, _, setting = key.partition(".")
    return bool(setting) and group in GROUPS and any(setting not in one.defaults for one in packaged(group).values())


def checked_jobs(loader: ConfigLoader, sweep: DictConfig, typed: Iterable[list[str]]) -> tuple[list[Job], set[str]]:
    """The jobs of these words, checked, each outcome in each folder once.

    Returns:
        The jobs, and the settings by which those that were left out were meant to be told apart.

    Raises:
        ConfigError: one of them is wrong; nothing was started.
    """
    composer, jobs, apart = Composer(loader, sweep), dict[tuple[Path, str], Job](), set[str]()
    plain: dict[tuple[str, ...], Job] = {}  # with no binary layer, by their words less what is without effect there
    for words in typed:
        try:
            job = _checked(composer, words)
            if row_of(job.cfg)["layer"] == "none":
                words = [word for word in words if not _needs_a_binary_layer(word)]
                job = plain.get(tuple(words)) or plain.setdefault(tuple(words), _checked(composer, words))
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"{translated(error)}\n(job {' '.join(words)}; nothing was started)") from error
        apart |= _apart(words, jobs.setdefault((job.folder, job.identity), job).words)
    return list(jobs.values()), apart


def _checked(composer: Composer, words: list[str]) -> Job:
    """One job.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: it is wrong.
    """
    composed = composer.compose(words)
    place = composed.hydra.sweep
    named = OmegaConf.to_container(place, resolve=False)
    assert isinstance(named, dict)
    # Such a name is made below: Hydra would resolve it within its own config, in longer than all the rest.
    by_config = named["subdir"] == "${run_folder:}"
    try:
        folder, subdir = Path(place.dir), "" if by_config else place.subdir
    except OmegaConfBaseException:
        check(composed)  # where a setting behind it is wrong, says which
        raise
    folders = given_folders(composed.hydra.runtime.config_sources)
    with open_dict(composed):
        del composed["hydra"]  # which no run can refer to
    cfg = check(composed)
    check_start(cfg, words, folders)
    return Job(words, cfg, folder, run_folder(cfg) if by_config else subdir)


def _apart(job: list[str], other: list[str]) -> set[str]:
    """The settings by which two jobs of one outcome were meant to be told apart, as a name or a folder."""
    differing = {override.lstrip("+").partition("=")[0] for override in set(job) ^ set(other)}
    return {key for key in differing if key.partition(".")[0] in WITHOUT_EFFECT}


def _needs_a_binary_layer(override: str) -> bool:
    """Whether an override is without effect in a net with no binary layer.

    Such a job drops it, and so runs under the experiment's own recipe whatever estimator its neighbours sweep.
    """
    key = override.lstrip("+").partition("=")[0]
    return key.split(".")[0] in ("estimator", "anneal") or (key.startswith("binary.") and key != "binary.layer")
