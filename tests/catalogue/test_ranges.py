"""The ranges of settings, as the YAML of options states them."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from binlit.catalogue.ranges import annotation, other_keys

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("text", "allowed", "refused"),
    [
        ("integer", [0, -3], [1.0, True, "1", None, NAN]),
        ("integer >= 1", [1, 7], [0, -1, 1.5, True]),
        ("number > 0", [1e-9, 3, 2.5], [0, -1.0, NAN, INF, "2", True]),
        ("number >= 0 < 1", [0.0, 0.999], [1.0, -0.1]),
        ("number > 0 | null", [1.0, None], [0.0, "null"]),
        ("bool", [True, False], [1, 0, "true"]),
        ("bool | integer >= 1", [True, 3], [0, 1.5, "x"]),
        ("text", ["a", ""], [1, None, ["a"]]),
        ("28 | 32", [28, 32], [30, "28", 28.5]),
        ("'01' | pm1", ["01", "pm1"], [1, "1", "10"]),
        ("integer >= 1 | some integer >= 1", [4, [4], [1, 8]], [0, [], [4, 0], [[4]], "4"]),
        ("any 2 integer >= 1", [[], [[5, 1], [20, 5]]], [[5, 1], [[5]], [[5, 1, 1]], [[5, 0]]]),
        ("distinct 0 | 90 | 180 | 270", [[0], [0, 90]], [[], [0, 0], [45], 90]),
        ("2 number >= 0 < 1", [[0.9, 0.999]], [[0.9], [0.9, 0.99, 0.9], [0.9, 1.0]]),
        ("settings", [{}, {"a": 1}], [None, [], "x"]),
        ("draws | some draws", [1, [4, 8]], [0, [], 1001, [1001]]),
        ("positive < window", [0.1], [0.0, -1.0]),
        ("place", ["outputs", "a b/c"], ["", " ", "~/x", "x" * 300]),
    ],
)
def test_a_range_takes_what_it_says_and_nothing_else(text, allowed, refused):
    takes = TypeAdapter(annotation(text))
    for value in allowed:
        takes.validate_python(value, strict=True)
    for value in refused:
        with pytest.raises(ValidationError):
            takes.validate_python(value, strict=True)


def test_a_bound_may_be_another_setting():
    assert other_keys("number > 0 < window") == [("<", "window")]
    assert other_keys("number > 0 < 1e-3") == []


@pytest.mark.parametrize("text", ["", "integer about 3", "text > 1", "number >"])
def test_a_range_that_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match=r"empty|cannot be read|no bounds"):
        annotation(text)
