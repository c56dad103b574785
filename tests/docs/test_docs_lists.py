"""The lists of the documentation hold what the project has, and no page holds one by hand."""

from __future__ import annotations

import importlib
import inspect
import re
import sys

import pytest

from binlit.catalogue import GROUPS, packaged
from binlit.paths import config_dir
from pages import PAGES, TOP

sys.path.insert(0, str(TOP / "scripts"))
docs_hooks = importlib.import_module("docs_hooks")
docs_lists = importlib.import_module("docs_lists")

MODULES = re.findall(r"<!-- list: api ([\w.]+) -->", (TOP / "docs" / "api.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("group", GROUPS)
def test_every_setting_of_every_option_is_there_with_its_values_and_default(group):
    page = docs_lists.configuration()
    for name, one in packaged(group).items():
        for key, default in one.defaults.items():
            shown = docs_lists._shown(default)
            assert f"| `{group}.{key}` | `{one.ranges[key]}` | `{shown}` |" in page, (name, key)


def test_every_file_of_conf_has_a_heading_and_is_described():
    page = docs_lists.configuration() + docs_lists.experiments()
    for path in config_dir().glob("*/*.yaml"):
        group, name = path.parent.name, path.stem
        if group == "experiment":
            assert f"## {name}\n" in page
        elif group == "binary":
            assert re.search(rf"^\| `{name}` \| \w", page, re.M)
        else:
            assert f"### {group}={name}\n" in page
        if group in GROUPS:
            assert docs_lists.head_of(path), path


def test_notes_beside_a_setting_are_its_comments():
    page = docs_lists.configuration()
    assert (
        "| `estimator.draws` | `draws | some draws` | `${passes:4,1}` | at the first site reached; a list gives" in page
    )
    assert "binary.share" in page
    notes = docs_lists.comments_of(config_dir() / "evaluate.yaml")
    assert notes["weight.eval"].startswith("of binary weights")


def test_every_estimator_and_every_table_is_listed():
    table = docs_lists.estimators()
    assert re.findall(r"^\| \[`(\w+)`\]", table, re.M) == list(packaged("estimator"))
    page = docs_lists.results()
    for path in (TOP / "docs" / "results").glob("*/table.md"):
        rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        assert rows
        assert "\n".join(f"    {row}" for row in rows[:3]) in page


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_place_in_the_api(module):
    loaded = importlib.import_module(module)
    places = re.findall(r"^::: ([\w.]+)$", docs_lists.api(module), re.M)
    modules = {name for name in loaded.__all__ if inspect.ismodule(getattr(loaded, name))}
    assert {place.rpartition(".")[2] for place in places} == set(loaded.__all__) - {"__version__"} - modules
    assert {f"{module}.{name}" for name in modules} <= set(MODULES)
    for place in places:
        inside, _, name = place.rpartition(".")
        assert getattr(importlib.import_module(inside), name) is getattr(loaded, name)


def test_every_mark_of_a_page_is_a_list():
    marks = [mark for page in PAGES for mark in docs_hooks.MARK.findall(page.read_text(encoding="utf-8"))]
    assert {name for name, _ in marks} == set(docs_lists.LISTS)


def test_links_that_leave_the_pages_lead_to_experiments_or_become_text():
    follow = docs_hooks.with_links
    source = "results/mnist_table/README.md"
    assert follow("[x](../../../conf/experiment/mnist.yaml)", source) == "[x](../../experiments.md#mnist)"
    assert follow("[x](../../../src/binlit/train.py)", source) == "x"
    assert follow("[x](../../speed.md#a) [y](https://a.b)", source) == "[x](../../speed.md#a) [y](https://a.b)"


def test_code_is_no_formula():
    for code in ("`$HOME` and `$x`", "```sh\necho $A $B\n```"):
        assert docs_hooks.with_formulas(code) == code


def test_a_page_of_results_that_names_a_study_says_what_it_is():
    page = (TOP / "docs" / "results" / "mnist_table" / "README.md").read_text(encoding="utf-8")
    assert "[what they are](../../studies.md)" in docs_hooks.with_studies(page, "results/mnist_table/README.md")
    plain = "# A table\n\nNothing else."
    assert docs_hooks.with_studies(plain, "results/x/README.md") == plain


@pytest.mark.parametrize("page", [page for page in PAGES if "results" not in page.parts], ids=lambda page: page.name)
def test_a_page_that_names_a_study_by_its_letter_leads_to_what_it_is(page):
    text = page.read_text(encoding="utf-8")
    if re.search(r"\b[Ss]tud(y|ies) [A-E]", text) and page.name not in ("studies.md", "estimators.md"):
        assert "studies.md" in text


def anchors(page) -> set[str]:
    """Anchors of a page's headings, the lists put in, as GitHub and Python-Markdown both make them."""
    text = re.sub(r"```.*?```", "", docs_hooks.with_lists(page.read_text(encoding="utf-8")), flags=re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_links_to_a_place_of_a_page_lead_to_a_heading():
    found = 0
    for page in PAGES:
        text = docs_hooks.with_lists(page.read_text(encoding="utf-8"))
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text):
            if "://" not in target:
                found += 1
                assert anchor in anchors((page.parent / target) if target else page), (page.name, target, anchor)
    assert found > 30


def test_every_fact_of_a_group_is_explained():
    page = docs_lists.facts()
    for group, stated in GROUPS.items():
        for name in set(stated.model_fields) - {"keys"}:
            (row,) = re.findall(rf"^\| `{group}` \|.*$", page, re.M)
            assert f"`{name}`" in row
    assert "`kind`: `pathwise | relaxation | score_function`, required" in page
    assert "`gives`: `labels | episodes`" in page
