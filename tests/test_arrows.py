"""The imports between the folders of src/binlit: those that the house allows, and no others.

Every import statement counts, also one inside a function or under TYPE_CHECKING: whoever reads a file has to know what
it names, whenever it is loaded. (Names in strings, as in the YAML of an option, are no imports.)
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import binlit

ROOT = Path(binlit.__file__).parent
FILES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*.py"))}

# What each folder may import, beside itself and the leaves (files of the package that import none but leaves).
# Entry points and what they share (train.py, build.py, cli.py, ...) may import everything, and no folder imports them.
ALLOWED: dict[str, set[str]] = {
    "catalogue": set(),
    "dataset": {"catalogue"},
    "model": set(),
    "anneal": {"catalogue"},
    "optimizer": {"catalogue"},
    "estimator": {"catalogue"},
    "binary": {"catalogue", "estimator"},
    "task": {"model", "binary", "estimator", "anneal"},
    "callbacks": {"catalogue", "binary", "estimator"},
    "config": {"catalogue", "dataset", "binary", "estimator", "anneal", "optimizer", "callbacks"},  # what fits what
    "results": {"catalogue", "config", "callbacks"},
    "running": {"catalogue", "config", "results", "dataset", "estimator", "binary", "task", "callbacks"},
    "command": {"catalogue", "config", "results", "running"},
    "laboratory": {"binary", "estimator", "catalogue", "config", "results"},
    "runtime": set(),
    "conversion": {"binary", "runtime"},
}
# Arrows that are still there, with the day they were listed and how they go. Strike out what is mended.
EXCEPTIONS: dict[tuple[str, str], str] = {}


def imported(source: str, path: str) -> set[str]:
    """Dotted names within the package that a file imports, such as `estimator.base` or `binary.sites.OUTPUT`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = ["binlit", *path.split("/")[:-1]]
            start = above[: len(above) + 1 - node.level] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("binlit.") for name in found if name.startswith("binlit.")}


def files_of(names: set[str]) -> set[str]:
    """The file of each name: the module's that it is, or else the one's that it is a thing of."""
    ends = (".py", "/__init__.py")
    found = set()
    for name in names:
        places = (part.replace(".", "/") for part in (name, name.rpartition(".")[0]))
        found |= set([place + end for place in places for end in ends if place + end in FILES][:1])
    return found


IMPORTS = {path: files_of(imported(source, path)) - {path} for path, source in FILES.items()}


def room(path: str) -> str:
    """The folder of a file, or the file's own name at the top of the package."""
    return path.split("/")[0].removesuffix(".py")


def leaves() -> set[str]:
    """Files at the top of the package that import none of it but each other."""
    found = {path for path in FILES if "/" not in path and path != "__init__.py"}
    while above := {path for path in found if not IMPORTS[path] <= found}:
        found -= above
    return {room(path) for path in found}


def test_folders_import_what_the_house_allows():
    assert {room(path) for path in FILES if "/" in path} == set(ALLOWED), "say in ALLOWED what a new folder may import"
    arrows = {(path, room(to)) for path, those in IMPORTS.items() if "/" in path for to in those}
    broken = {(path, to) for path, to in arrows if to not in {room(path), *ALLOWED[room(path)], *leaves()}}
    assert broken - set(EXCEPTIONS) == set(), "an arrow that DESIGN.md does not allow"
    assert set(EXCEPTIONS) - broken == set(), "mended: strike it out of EXCEPTIONS"


def test_no_import_leads_back_to_its_file():
    """No circle within estimator/, within binary/, or anywhere else; nor between the folders as they are allowed."""
    TopologicalSorter(IMPORTS).prepare()  # CycleError names the circle
    TopologicalSorter(ALLOWED).prepare()


def test_every_kind_of_import_is_seen():
    source = """
import binlit.command.entry
from typing import TYPE_CHECKING
from binlit.binary import sites, place as placing
from . import draws
from .deeper.still import thing
from ..model.mlp import Mlp
if TYPE_CHECKING:
    from binlit.task import FewShot
def later():
    import binlit.report as page
    return "binlit.export"
"""
    assert imported(source, "estimator/base.py") == {
        "command.entry",
        "binary.sites", "binary.place", "estimator.draws", "estimator.deeper.still.thing", "model.mlp.Mlp",
        "task.FewShot", "report",
    }  # fmt: skip
    assert files_of({"binary.sites", "binary.place.binarize", "binary", "paths", "task.FewShot"}) == {
        "binary/sites.py", "binary/place.py", "binary/__init__.py", "paths.py", "task/__init__.py"
    }  # fmt: skip
