"""The functions of study C: values and gradients, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from binlit.binary import functional as fn

X = [-2.0, -1.0, -0.4, 0.0, 0.4, 1.0, 2.0]
CASES = {
    "hard_sigmoid": (fn.hard_sigmoid, [0, 0, 0.3, 0.5, 0.7, 1, 1], [0, 0.5, 0.5, 0.5, 0.5, 0.5, 0]),
    "round_through": (fn.round_through, [-2, -1, 0, 0, 0, 1, 2], [1, 1, 1, 1, 1, 1, 1]),
    "binary_sigmoid": (fn.binary_sigmoid, [0, 0, 0, 1, 1, 1, 1], [0, 0.5, 0.5, 0.5, 0.5, 0.5, 0]),
    "binary_tanh": (fn.binary_tanh, [-1, -1, -1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 0]),
    "binarize": (fn.binarize, [-1, -1, -1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 0]),
    "binarize, H=0.5": (lambda x: fn.binarize(x, 0.5), [-0.5, -0.5, -0.5, 0.5, 0.5, 0.5, 0.5], [0, 0, 1, 1, 1, 0, 0]),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient(name):
    function, values, gradients = CASES[name]
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    y = function(x)
    torch.testing.assert_close(y, torch.tensor(values, dtype=torch.float64))
    (gradient,) = torch.autograd.grad((3 * y).sum(), x)
    torch.testing.assert_close(gradient, 3 * torch.tensor(gradients, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_sign_is_right_however_small_the_number(dtype):
    """(x + 1) / 2 is 1/2 for all of these: rounding it would call negative ones +1."""
    x = torch.tensor([-1e-3, -6e-8, 6e-8, 1e-3], dtype=dtype)
    assert fn.binary_tanh(x).tolist() == [-1, -1, 1, 1]
    assert fn.binary_sigmoid(x).tolist() == [0, 0, 1, 1]
    assert fn.binarize(x, 0.5).tolist() == [-0.5, -0.5, 0.5, 0.5]
    assert fn.binary_tanh(torch.tensor([math.nan], dtype=dtype)).isnan().all()


def test_rounding_at_the_ends_of_float32():
    x = torch.tensor([0.49999997, 0.5, 1.5, -0.5, 8388609.0])
    assert fn.round_through(x).tolist() == [0, 1, 2, 0, 8388609]


def test_xnorize_gives_magnitude_and_bits():
    weight = torch.tensor([[0.5, -0.25], [1.0, 0.0]], requires_grad=True)
    magnitude, bits = fn.xnorize(weight, axis=1, keepdims=True)
    assert magnitude.tolist() == [[0.375], [0.5]]
    assert bits.tolist() == [[1, -1], [1, 1]]
    assert fn.xnorize(weight)[0].item() == pytest.approx(0.4375)
    (gradient,) = torch.autograd.grad((magnitude * bits).sum(), weight)
    # d/dw of a * sum(b): sum(b) * sign(w) / n from the magnitude, a from the bits; |.| has gradient 0 at 0
    torch.testing.assert_close(gradient, torch.tensor([[0.375, 0.375], [0.5 + 1.0, 0.5]]))


def test_a_magnitude_of_zero_is_refused():
    with pytest.raises(ValueError, match="H=0 must be above 0"):
        fn.binarize(torch.ones(2), 0)
