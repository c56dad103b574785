"""Lists of the documentation that are read out of the project: options, experiments, results, public names.

No page holds such a list by hand. A page has a line `<!-- list: NAME ARGUMENTS -->`, and `docs_hooks` puts
`LISTS[NAME](*ARGUMENTS)` there when the site is built. Nothing here imports torch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from binlit.catalogue import GROUPS, Option, files, packaged
from binlit.catalogue.folders import groups
from binlit.catalogue.ranges import NAMED
from binlit.config.schema import Binary, Run
from binlit.paths import config_dir

TOP = Path(__file__).resolve().parents[1]
RESULTS = TOP / "docs" / "results"
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def configuration() -> str:
    """Every group with every option and setting; experiments have a page of their own."""
    return "\n".join(f"## {group}\n\n{group_list(group)}" for group in groups() if group != "experiment")


def group_list(group: str) -> str:
    """The options of one group: what each is, and its settings."""
    if group == "binary":
        options = table(("option", "what it is"), [(f"`{path.stem}`", head_of(path)) for path in _paths(group)])
        return options + schema_table(Binary, "binary", comments_of(config_dir() / "binary" / "stochastic.yaml"))
    if group not in GROUPS:
        texts = {path.stem: path.read_text(encoding="utf-8") for path in _paths(group)}
        return "".join(f"### {group}={name}\n\n```yaml\n{text}```\n\n" for name, text in texts.items())
    return "".join(_file_of_option(group, path) for path in _paths(group))


def _file_of_option(group: str, path: Path) -> str:
    """A heading, the head comment and a table of settings; a file that changes another one has its changes alone."""
    node = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    bases = [base for base in node.pop("defaults", []) if isinstance(base, str) and base != "_self_"]
    one = files(group).get(path.stem) or next((packaged(group)[b] for b in bases if b in packaged(group)), None)
    text = f"### {group}={path.stem}\n\n{head_of(path)}\n\n"
    settings = {key: value for key, value in node.items() if one is not None and key in one.ranges}
    if bases:
        text += f"Starts from `{group}={bases[0]}`" + (", and changes:\n\n" if settings else ".\n\n")
    elif one and (sites := getattr(one.facts, "sites", None)):
        text += f"Sites: `{sites}`. Layers with weights: `{one.facts.layers}`.\n\n"
    return text + (settings_table(group, one, settings, comments_of(path)) if one and settings else "")


def settings_table(group: str, one: Option, settings: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    rows = [
        (f"`{group}.{key}`", f"`{one.ranges[key]}`", f"`{_shown(value)}`", comments.get(key, ""))
        for key, value in settings.items()
    ]
    return table(("setting", "values", "default", "notes"), rows)


def run_settings() -> str:
    """The settings of a run that belong to no group."""
    return schema_table(Run, "", comments_of(config_dir() / "config.yaml"), without=(*groups(), "own"))


def schema_table(schema: type[BaseModel], prefix: str, comments: Mapping[str, str], without: Iterable[str] = ()) -> str:
    source = config_dir() / ("binary/stochastic.yaml" if prefix else "config.yaml")
    defaults = yaml.safe_load(source.read_text(encoding="utf-8"))
    rows = [
        (
            f"`{prefix}.{key}`" if prefix else f"`{key}`",
            f"`{_values(field.annotation, field.metadata)}`",
            f"`{_shown(defaults.get(key))}`",
            comments.get(key, ""),
        )
        for key, field in schema.model_fields.items()
        if key not in without
    ]
    return table(("setting", "values", "default", "notes"), rows)


def ranges() -> str:
    """The ranges that have a name."""
    return table(("name", "range"), [(f"`{name}`", f"`{said}`") for name, said in NAMED.items()])


def facts() -> str:
    """What the options of each group state of themselves beside their settings."""
    rows = []
    for group, stated in GROUPS.items():
        fields = {name: field for name, field in stated.model_fields.items() if name != "keys"}
        listed = [
            f"`{name}`: `{_values(one.annotation)}`{', required' * one.is_required()}" for name, one in fields.items()
        ]
        if fields:
            rows.append((f"`{group}`", "; ".join(listed), " ".join(inspect.cleandoc(stated.__doc__ or "").split())))
    return table(("group", "facts", "meaning"), rows)


def command_settings(name: str) -> str:
    """The settings of `binlit.evaluate` or `binlit.gradients`, from conf/NAME.yaml."""
    path = config_dir() / f"{name}.yaml"
    node, notes = yaml.safe_load(path.read_text(encoding="utf-8")), comments_of(path)
    rows: list[tuple[str, ...]] = []
    for key, value in node.items():
        if key in ("defaults", "hydra"):
            continue
        inner = value if isinstance(value, dict) else {}
        rows += [
            (f"`{key}.{k}`", f"`{_shown(v)}`", notes.get(f"{key}.{k}") or notes.get(key, "")) for k, v in inner.items()
        ]
        rows += [] if inner else [(f"`{key}`", f"`{_shown(value)}`", notes.get(key, ""))]
    return table(("setting", "default", "notes"), rows)


def experiments() -> str:
    """Every experiment: the comment at the head of its file, with its commands as code."""
    text = ""
    for path in _paths("experiment"):
        lines = [line.removeprefix("#").rstrip() for line in _head_lines(path) if "@package" not in line]
        words = [line.strip() for line in lines if not line.strip().startswith(("python -m", "make "))]
        commands = [line.strip() for line in lines if line.strip().startswith(("python -m", "make "))]
        said = re.sub(r" ?(Time|Expect): ", r"\n\n**\1:** ", " ".join(words))
        text += f"## {path.stem}\n\n{said}\n\n```sh\n" + "\n".join(commands) + "\n```\n\n"
    return text


def estimators() -> str:
    """Every estimator in the order of tables: kind, family, what it sends back, and its names elsewhere."""
    rows = [
        (
            f"[`{name}`](estimators.md#{name})",
            one.facts.kind.replace("_", " "),
            one.facts.family,
            head_of(config_dir() / "estimator" / f"{name}.yaml"),
            ", ".join(getattr(one.facts, "also_known_as", [])),
        )
        for name, one in packaged("estimator").items()
    ]
    return table(("estimator", "kind", "family", "in one line", "also known as"), rows)


def results() -> str:
    """Every committed table, folded, with its page and its picture."""
    text = ""
    for page in sorted(RESULTS.glob("*/table.md")):
        folder, lines = page.parent.name, page.read_text(encoding="utf-8").splitlines()
        more = f"results/{folder}/README.md" if (page.parent / "README.md").exists() else f"results/{folder}/table.md"
        picture = next((name for name in ("table.png", "gradients.png") if (page.parent / name).exists()), None)
        text += f"## {folder}\n\n{lines[0].removeprefix('# ')}: [protocol, findings and records]({more}).\n\n"
        text += f"![{folder}](results/{folder}/{picture})\n\n" if picture else ""
        body = [re.sub(r"^#+ (.*)$", r"**\1**", line) for line in lines[1:]]  # no headings within a fold
        text += '??? note "the table"\n' + "\n".join(f"    {line}" if line else "" for line in body) + "\n\n"
    return text


def api(module: str) -> str:
    """A mkdocstrings block for each public name of a module, as its stub (.pyi) or its `__all__` has them."""
    folder = TOP / "src" / Path(*module.split("."))
    stub = folder / "__init__.pyi"
    source = (stub if stub.exists() else folder / "__init__.py").read_text(encoding="utf-8")
    found = re.findall(r"^from (\.?[\w.]+) import (\w+)(?: as \w+)?$", source, re.M)
    if not stub.exists():
        public = re.findall(r'"(\w+)"', source.partition("__all__")[2])
        lines = re.findall(r"^from ([\w.]+) import (.+)$", source, re.M)
        names = [(where, one.partition(" as ")[0]) for where, imported in lines for one in imported.split(", ")]
        found = [(where, name) for where, name in names if name in public]
    found = [(where, name) for where, name in found if where != "."]  # a module has a list of its own
    return "\n\n".join(f"::: {module + where if where[0] == '.' else where}.{name}" for where, name in found)


LISTS = {
    "configuration": configuration,
    "run_settings": run_settings,
    "ranges": ranges,
    "facts": facts,
    "command_settings": command_settings,
    "experiments": experiments,
    "estimators": estimators,
    "results": results,
    "api": api,
}


def linked(text: str) -> str:
    """Pages that a comment names by their file, as links."""
    text = re.sub(r"docs/results/(\w+)(?:/table\.md)?", r"[\1](results/\1/table.md)", text)
    return text.replace("docs/studies.md", "[Studies](studies.md)")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; a bar within code is left as it is, which Python-Markdown takes for no border."""
    rows = [
        tuple(re.sub(r"`[^`]*`|\|", lambda m: m[0] if m[0] != "|" else "\\|", cell) for cell in row) for row in rows
    ]
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines) + "\n"


def head_of(path: Path) -> str:
    """The comment that a YAML file opens with, as one line."""
    return " ".join(line.removeprefix("#").strip() for line in _head_lines(path) if "@package" not in line)


def comments_of(path: Path) -> dict[str, str]:
    """{key, with those it lies within (`toys.steps`): its comment, with the lines that go on with it}."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    key = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"^( *)(\w+):[^#]*?(?:\s#\s*(.*))?$", line):
            above = [(depth, name) for depth, name in above if depth < len(match[1])] + [(len(match[1]), match[2])]
            key = ".".join(name for _, name in above)
            found |= {key: match[3]} if match[3] else {}
        elif key in found and (more := re.match(r"^ {8,}# *(.*)$", line)):
            found[key] += f" {more[1]}"
    return found


def _head_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[: next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))]


def _paths(group: str) -> list[Path]:
    return sorted((config_dir() / group).glob("*.yaml"))


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _values(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """The values of a pydantic field in the words that options use for their `keys`."""
    if hasattr(annotation, "__metadata__"):
        return _values(annotation.__origin__, annotation.__metadata__)
    if str(annotation).startswith("typing.Literal"):
        return " | ".join(map(str, get_args(annotation)))
    origin = getattr(annotation, "__origin__", None)
    if origin in (list, dict):
        return "mapping" if origin is dict else f"some {_values(get_args(annotation)[0])}"
    if get_args(annotation):
        return " | ".join(_values(part) for part in get_args(annotation))
    kinds = {int: "integer", float: "number", str: "text", bool: "bool", type(None): "null"}
    return " ".join([kinds.get(annotation, "anything"), *_bounds(metadata)])


def _bounds(metadata: Iterable[Any]) -> Iterable[str]:
    for one in metadata:
        for limit in (one, *getattr(one, "metadata", ())):
            yield from (f"{sign} {getattr(limit, name)}" for name, sign in SIGNS.items() if hasattr(limit, name))
