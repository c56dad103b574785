"""Slopes against the formulas of their sources."""

from __future__ import annotations

import pytest

from binlit.anneal import Constant, Cosine, Exponential, Linear, Step


def test_exponential_is_study_as_formula():
    assert [Exponential().slope(e) for e in (1, 2, 100)] == [1.0, 1.005, pytest.approx(1.005**99)]
    assert Exponential().slope(100) == pytest.approx(1.64, abs=0.005)  # the end that the study states


def test_linear_is_chungs():
    assert [Linear().slope(e) for e in (1, 25, 100, 200)] == pytest.approx([1.04, 2.0, 5.0, 5.0])


def test_cosine_goes_from_start_to_end_and_stays():
    slopes = [Cosine(epochs=9, start=1, end=5).slope(e) for e in range(1, 12)]
    assert slopes[0] == 1
    assert slopes[4] == pytest.approx(3)
    assert slopes[8:] == pytest.approx([5, 5, 5])
    assert slopes == sorted(slopes)


def test_step_multiplies_every_nth_epoch():
    assert [Step(factor=2, every=3).slope(e) for e in range(1, 8)] == [1, 1, 1, 2, 2, 2, 4]


def test_constant():
    assert {Constant().slope(e) for e in range(1, 20)} == {1.0}
