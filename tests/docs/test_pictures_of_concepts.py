"""The pictures of docs/concepts.md are those of its script, and the script draws what the page says."""

from __future__ import annotations

import importlib
import re
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from pages import TOP, text

sys.path.insert(0, str(TOP / "scripts"))
draw_concepts = importlib.import_module("draw_concepts")


def lines(name: str) -> list[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """What is drawn, for each pair of axes: {label: (x, y)}."""
    figure = Figure()
    draw_concepts.PICTURES[name](figure)
    return [
        {str(line.get_label()): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in axes.lines}
        for axes in figure.axes
    ]


def test_the_page_shows_every_picture_of_the_script():
    shown = re.findall(r"\]\(concepts/(\w+)\.png\)", text("docs/concepts.md"))
    assert shown == list(draw_concepts.PICTURES)
    assert all((TOP / "docs" / "concepts" / f"{name}.png").is_file() for name in shown)


def test_the_gradient_of_st_at_a_slope_is_half_of_it_inside_a_window_of_its_inverse():
    _, right = lines("slope")
    for value in (1, 2, 5):
        ((x, y),) = [drawn for label, drawn in right.items() if label.startswith(f"slope {value}:")]
        np.testing.assert_allclose(y, np.where(np.abs(x) <= 1 / value + 1e-6, value / 2, 0))


def test_rloo_is_exact_in_the_mean_and_detached_sends_nothing():
    st, rloo, detached = lines("estimator")
    (x, exact) = rloo["exact"]
    p = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(exact, p * (1 - p) * (0.75**2 - 0.25**2), rtol=1e-5)  # f(1) - f(0), f = (b - 1/4)^2
    assert np.abs(rloo["mean sent back"][1] - exact).max() < 0.01
    assert not detached["mean sent back"][1].any()
    b_is_1, b_is_0 = 2 * 0.75, -2 * 0.25  # f' at the two values
    np.testing.assert_allclose(st["mean sent back"][1], p * (1 - p) * (p * b_is_1 + (1 - p) * b_is_0), atol=0.02)


@pytest.mark.parametrize("name", ["levels", "evaluation", "surrogate", "site"])
def test_the_others_are_drawn(name):
    assert sum(len(axes) for axes in lines(name)) >= (0 if name == "site" else 4)
