"""The page of pictures is what the code does: its text comes out of the docstrings again, a picture for each."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from binlit.estimator import ESTIMATORS

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("draw_estimators", TOP / "scripts" / "draw_estimators.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_holds_every_docstring_and_picture(script):
    page = (TOP / "docs" / "estimators.md").read_text(encoding="utf-8")
    for name in ESTIMATORS:
        assert f"## {name}\n\n{script.described(name)}\n" in page, f"python scripts/draw_estimators.py ({name})"
        assert (TOP / "docs" / "estimators" / f"{name}.png").is_file()


@pytest.mark.parametrize("name", ["st_sigmoid", "disarm", "rloo", "muprop", "bitflip"])
def test_what_is_drawn_is_the_derivative_of_p(script, name, monkeypatch):
    """The mean of what comes back is dp/dx, for rules that are exact on a loss linear in the bit."""
    monkeypatch.setattr(script, "X", torch.linspace(-2, 2, 5, dtype=torch.float64))
    monkeypatch.setattr(script, "WARM", 5)
    unit = script.fresh(name, 1)
    sent, back = script.responses(unit)
    p, slope = script.slope_of_p(unit)
    for mean, exact in ((sent, p), (back, slope)):
        error = mean.std(1) / mean.shape[1] ** 0.5
        assert ((mean.mean(1) - exact).abs() < 4.5 * error + 1e-9).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_docstring_says_what_a_reader_needs(name):
    text = ESTIMATORS[name].__doc__ or ""
    assert f"`{name}`" in text
    assert "pass" in text.lower()
    assert "Backward:" in text
    if name != "detached":
        assert "Bias and variance:" in text
        assert "Source:" in text
