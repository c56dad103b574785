"""The examples in the docstrings of what `binlit` shows."""

from __future__ import annotations

import doctest
import inspect
from typing import Any

import pytest

import binlit

SHOWN = [name for name in dir(binlit) if inspect.isclass(getattr(binlit, name)) or callable(getattr(binlit, name))]
WITHOUT = {"ConfigError", "Record"}  # examples are at the functions that raise the one and return the other
EXAMPLES: dict[str, Any] = {name: getattr(binlit, name) for name in SHOWN if name not in WITHOUT} | {
    "runtime.load": binlit.runtime.load
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_name_has_an_example_that_is_true(name, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # a run's line is not broken
    monkeypatch.chdir(tmp_path)
    (found,) = [
        test for test in doctest.DocTestFinder(recurse=False).find(EXAMPLES[name], name, globs={}) if test.examples
    ]
    output: list[str] = []
    result = doctest.DocTestRunner().run(found, out=output.append)
    assert not result.failed, "".join(output)
