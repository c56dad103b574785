"""README and the pages of docs/, and what stands in them: commands and blocks of code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

TOP = Path(__file__).parents[1]
README = TOP / "README.md"
PAGES = [README, *sorted((TOP / "docs").glob("*.md")), *sorted((TOP / "docs" / "results").glob("*/README.md"))]
TOOLS = ("python", "make", "pip", "tensorboard")


def text(page: str | Path) -> str:
    return (TOP / page).read_text(encoding="utf-8")


def commands(page: str | Path) -> list[list[str]]:
    """The commands of a page's `sh` blocks, a list of words each, in order."""
    lines = [line for _, body in _blocks(page, "sh") for line in body.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def inline_commands(page: str | Path) -> list[list[str]]:
    """Commands within its sentences, with words of their own; those cut short by dots are left out."""
    found = re.findall(
        r"(?<!`)`(python (?:-m binlit\.|scripts/)[^`]+)`", re.sub(r"```.*?```", "", text(page), flags=re.S)
    )
    split = [shlex.split(" ".join(one.split())) for one in found if "..." not in one]
    return [words for words in split if len(words) > 3 or words[1].startswith("scripts/")]


def python(page: str | Path) -> list[str]:
    """The page's Python that is no file of its own, block by block."""
    return [body for title, body in _blocks(page, "python") if not title]


def titled(page: str | Path) -> dict[str, str]:
    """{file: its content}, of the blocks that have a file's name; blocks of one name follow each other."""
    files: dict[str, str] = {}
    for language in ("python", "yaml"):
        for title, body in _blocks(page, language):
            if title:
                files[title] = f"{files[title]}\n\n{body}" if title in files else body
    return files


def _blocks(page: str | Path, language: str) -> list[tuple[str, str]]:
    return re.findall(rf'^```{language}(?: title="([^"]+)")?\n(.*?)^```', text(page), re.S | re.M)
