"""What each option of a config group says of itself. The one place is its YAML, conf/GROUP/OPTION.yaml.

Beside `name`, `_target_` and settings with their defaults an option states *facts*: of what kind it is, what it takes
and gives, and under `keys` which values its settings take (see `ranges`). Schema, checks, recipes, families in tables
and lists in the docs all ask these. A user's own option states the same in a YAML of theirs and is treated alike.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from binlit.catalogue.folders import read_yaml
from binlit.catalogue.ranges import annotation, other_keys
from binlit.errors import ConfigError, nearest
from binlit.paths import config_dir

Config = dict[str, Any]

FIXED = ("name", "_target_", "_partial_")  # what an option has beside facts and settings


class Facts(BaseModel):
    """What every option may state: `keys`, the values that its settings take; of others the default's type is taken."""

    model_config = ConfigDict(extra="forbid", strict=True)
    keys: dict[str, Any] = {}


class DatasetFacts(Facts):
    """What a data set gives: images with `labels`, or `episodes` of few-shot learning.

    named_classes: numbers of classes by name; drawings: how many each class has, where that is fixed; stored: how many
    images it has for training and validation, and for testing, where that is known.
    """

    gives: Literal["labels", "episodes"] = "labels"
    named_classes: dict[str, int] = {}
    drawings: int | None = None
    stored: list[int] | None = None


class ModelFacts(Facts):
    """What a net gives and takes, and where it can be binary.

    takes: arguments of its class that follow from the data set. images: the only number of channels and size that fit.
    sites, layers: names of the modules whose activations, and of those whose weights, can be binary, in order; as text
    `act{1..4}` stands for four names, and `act{1..2*widths}` for two for each entry of the setting `widths`.
    """

    gives: Literal["classes", "embedding"] = "classes"
    takes: list[Literal["classes", "channels", "image_size", "inputs"]] = []
    images: dict[Literal["channels", "image_size"], int] = {}
    sites: str | list[str]
    layers: str | list[str] = []


class EstimatorFacts(Facts):
    """Of what kind an estimator is.

    kind: `pathwise`; `relaxation`: pathwise, about the draw and the logit of p; `score_function`: it weighs
    log-probabilities by the loss of each example. shares_losses: false where it is wrong as soon as one example's loss
    depends on another one's bits. per_site: the setting that may be a list, one count for each site; fewest_draws: the
    least it can be at the first binary site. constant: a derivative that is the same all over its window. family:
    whose colour it has in pictures; order: its place in tables. also_known_as: names that it goes by elsewhere, which
    hints lead from.
    """

    kind: Literal["pathwise", "relaxation", "score_function"]
    family: str = "own"
    order: int = 10_000
    shares_losses: bool = True
    per_site: str | None = None
    fewest_draws: int = 1
    constant: bool = False
    also_known_as: list[str] = []


class TaskFacts(Facts):
    """What a task takes; shares_losses: one example's output has a part in the losses of others."""

    takes: dict[Literal["data", "net"], Literal["labels", "episodes", "classes", "embedding"]] = {}
    shares_losses: bool = False


class OptimizerFacts(Facts):
    """flips: the optimizer has no latent weights, it flips binary ones."""

    flips: bool = False


class WeightFacts(Facts):
    """rule: the default estimator, which tables do not name."""

    rule: str | None = None


GROUPS: dict[str, type[Facts]] = {
    "dataset": DatasetFacts,
    "model": ModelFacts,
    "weight": WeightFacts,
    "estimator": EstimatorFacts,
    "anneal": Facts,
    "task": TaskFacts,
    "optimizer": OptimizerFacts,
    "scheduler": Facts,
    "trainer": Facts,
}


@dataclass(frozen=True)
class Option:
    """One option of a group.

    Attributes:
        facts: what it states, of the group's class in `GROUPS`; stated: the same as it stands in the YAML.
        defaults: its settings as they stand in the YAML, not interpolated.
        own: it is not binlit's.
        partial: its class is left to be called, by the task.
    """

    group: str
    name: str
    target: str | None
    facts: Any
    stated: Mapping[str, Any]
    defaults: Mapping[str, Any]
    own: bool = False
    partial: bool = False

    @cached_property
    def ranges(self) -> dict[str, str]:
        """{setting: the values it takes}; of one that states none its default's type, "anything" where not known."""
        stated = {key: str(text) for key, text in self.facts.keys.items()}
        return {key: stated.get(key) or _kind_of(value) for key, value in self.defaults.items()} | stated

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The defaults that do not depend on other settings."""
        return {key: value for key, value in self.defaults.items() if "${" not in str(value)}

    @cached_property
    def derived(self) -> set[str]:
        """Settings of a net that are not given: they follow from the data set and from its other settings."""
        return {*self.facts.takes, "sites", "layers"} if isinstance(self.facts, ModelFacts) else set()

    @property
    def bounds_by_keys(self) -> Iterator[tuple[str, str, str]]:
        """(key, "<", other key) for each bound that is another setting's value."""
        for key, text in self.facts.keys.items():
            for sign, other in other_keys(str(text)):
                yield key, sign, other


@cache
def packaged(group: str) -> dict[str, Option]:
    """{name: option} of binlit's own options of a group, in the order of tables (by `order`, else by name)."""
    found: dict[str, Option] = {}
    paths = {path.stem: path for path in sorted((config_dir() / group).glob("*.yaml"))}
    for stem, path in paths.items():
        node = _read(path)
        name = node["name"]
        changes_another = stem != name and (name in paths or "${" in name)
        if not changes_another:
            found.setdefault(name, _option(group, node, own=False))
    return dict(sorted(found.items(), key=lambda item: getattr(item[1].facts, "order", 0)))


@cache
def files(group: str) -> dict[str, Option]:
    """{file: option} of what a user may choose among binlit's: several files may be of one option."""
    stems = sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))
    names = {stem: _read(config_dir() / group / f"{stem}.yaml")["name"] for stem in stems}
    known = packaged(group)
    return {stem: known[name] for stem, name in names.items() if name in known}


def option_meant(group: str, word: object, known: Iterable[str]) -> str:
    """` (did you mean X?)` for a word that is none of the `known` options, also for a name that X goes by elsewhere."""
    options = packaged(group).values() if group in GROUPS else ()
    elsewhere = {other: one.name for one in options for other in getattr(one.facts, "also_known_as", ())}
    near = nearest(word, [*known, *elsewhere])
    return f" (did you mean {elsewhere.get(near, near)}?)" if near else ""


def option(group: str, node: Config) -> Option:
    """The option that a node of a config is of: binlit's by its name, else one of the user's own.

    Raises:
        ConfigError: an own option states something wrong of itself, or not enough.
    """
    known = packaged(group).get(str(node.get("name")))
    return known or _option(group, node, own=True)


def facts_of(cfg: Config, group: str) -> Any:
    """What the option that a saved config chose states of itself; of an own one the config says it too."""
    return option(group, cfg[group] | cfg.get("own", {}).get(group, {})).facts


def split(group: str, node: Config) -> tuple[Config, Config]:
    """(what builds the option, what it states of itself)."""
    facts = {key: value for key, value in node.items() if key in GROUPS[group].model_fields}
    return {key: value for key, value in node.items() if key not in facts}, facts


def expand(text: Any, settings: Config) -> list[str]:
    """The names that `act{1..4} last` stands for; `hidden` within braces is the length of that setting.

    A list of names is left as it is.

    Raises:
        ConfigError: the text cannot be read, or there is no such setting.
    """
    if not isinstance(text, str):
        return list(text) if isinstance(text, list) else []
    names: list[str] = []
    for word in text.split():
        head, brace, tail = word.partition("{")
        if not brace:
            names.append(word)
            continue
        first, _, last = tail.rstrip("}").partition("..")
        if not first.isdecimal():
            raise ConfigError(f"'{word}' names no layers; write such as {head}{{1..4}}")
        names += [f"{head}{number}" for number in range(int(first), _length(last, settings) + 1)]
    return names


def _length(text: str, settings: Config) -> int:
    times, _, key = text.rpartition("*")
    if not (times or "1").isdecimal() or not (key.isdecimal() or isinstance(settings.get(key), list)):
        raise ConfigError(f"'{text}' counts no layers: give a number, or a setting that is a list, such as 2*widths")
    return int(times or 1) * (int(key) if key.isdecimal() else len(settings[key]))


def _option(group: str, node: Config, own: bool) -> Option:
    settings, stated = split(group, node)
    where = f"{group}={node.get('name')}"
    try:
        facts = GROUPS[group].model_validate(stated)
        for key, text in facts.keys.items():
            _readable(key, str(text), {*settings, *facts.keys})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = str(detail["loc"][0])
        if detail["type"] == "missing":
            raise ConfigError(f"{where} does not state its {key}; {_example(group, key)}") from error
        raise ConfigError(f"{where} states {key}: {detail['input']!r}: {detail['msg'].lower()}") from error
    except ValueError as error:
        raise ConfigError(f"{where}: a range among its keys cannot be read: {error}") from error
    defaults = {key: value for key, value in settings.items() if key not in FIXED}
    partial = bool(node.get("_partial_"))
    return Option(
        group, str(node.get("name")), node.get("_target_"), facts, stated, {} if own else defaults, own, partial
    )


def _readable(key: str, text: str, settings: set[str]) -> None:
    """Raises ValueError where a range cannot be read, or its bound is no setting."""
    try:
        annotation(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{key}: {error}") from error
    for _, other in other_keys(text):
        if other not in settings:
            raise ValueError(f"{key}: '{text}' is bounded by {other}, which is no setting of it")


def _example(group: str, key: str) -> str:
    field = GROUPS[group].model_fields[key].annotation
    choices = [str(choice) for choice in getattr(field, "__args__", ()) if isinstance(choice, str)]
    given = f"add '{key}: {choices[0]}'" if choices else f"add '{key}: ...'"
    return f"{given} to its YAML" + (f" (or {', '.join(choices[1:])})" if choices[1:] else "")


def _kind_of(default: Any) -> str:
    if isinstance(default, bool):
        return "bool"
    if isinstance(default, int | float):
        return "integer" if isinstance(default, int) else "number"
    return "text" if isinstance(default, str) and "${" not in default else "anything"


@cache
def _read(path: Path) -> Config:
    """The node of an option's file, with that of the options of its group that it starts from."""
    node = read_yaml(path) or {}
    bases = [base for base in node.pop("defaults", []) if isinstance(base, str) and base != "_self_"]
    whole: Config = {}
    for base in bases:
        whole |= _read(path.with_name(f"{base}.yaml"))
    return whole | node
