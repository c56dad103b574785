"""What MkDocs does to a page beside Markdown: lists out of the project, formulas as MathML, links that leave docs/.

<!-- list: experiments -->   the list of that name in `docs_lists`
$x^2$, $$x^2$$               MathML, which browsers draw by themselves: no script and no font is loaded
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs loads this file by its path
from docs_lists import LISTS, TOP, linked

CODE = r"```.*?```|`[^`\n]*`"
MARK = re.compile(r"<!-- list: (\w+)((?: [\w.]+)*) -->")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs' event: the text of a page before it is turned into HTML."""
    return with_links(with_formulas(with_studies(with_lists(markdown), page.file.src_uri)), page.file.src_uri)


def with_lists(markdown: str) -> str:
    """Puts each list in the place of its mark.

    Raises:
        KeyError: there is no list of that name.
    """
    return MARK.sub(lambda mark: linked(LISTS[mark[1]](*mark[2].split())), markdown)


def with_studies(markdown: str, source: str) -> str:
    """A page of results that names a study by its letter says where the letters are explained."""
    if not source.startswith("results/") or not re.search(r"\b[Ss]tud(y|ies) [A-E]", markdown):
        return markdown
    title, _, rest = markdown.partition("\n")
    return f"{title}\n\n*Studies A to E: [what they are](../../studies.md).*\n{rest}"


def with_formulas(markdown: str) -> str:
    """Formulas between dollar signs as MathML; code is left alone."""

    def convert(match: re.Match[str]) -> str:
        if match["block"] is None and match["inline"] is None:
            return match[0]
        mathml = import_module("latex2mathml.converter").convert  # of the extra docs alone
        shown = mathml(match["block"] or match["inline"], display="block" if match["block"] else "inline")
        return f"\n\n<div class='formula'>{shown}</div>\n\n" if match["block"] else f"<span>{shown}</span>"

    formulas = rf"{CODE}|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$"
    return re.sub(formulas, convert, markdown, flags=re.S)


def with_links(markdown: str, source: str) -> str:
    """A link to an experiment's file leads to the page of experiments; one to another file outside docs/ becomes text.

    Args:
        source: the page, relative to docs/.
    """
    up = "../" * source.count("/")

    def follow(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        path = (TOP / "docs" / source).parent.joinpath(target.partition("#")[0]).resolve()
        if "://" in target or path.is_relative_to(TOP / "docs"):
            return match[0]
        if path.parent == TOP / "conf" / "experiment":
            return f"[{text}]({up}experiments.md#{path.stem})"
        return text

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", follow, markdown)
