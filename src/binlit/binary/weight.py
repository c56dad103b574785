"""Binary weights: the unit that a layer's `weight` goes through.

The layer keeps a real *latent* weight. The optimiser moves it, and `state_dict` holds it (as
`parametrizations.weight.original`). The layer multiplies with its bit, which is computed anew in each pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from binlit.binary.unit import followed, refuse_unknown
from binlit.estimator import ClippedStraightThrough, Estimator, IdentityStraightThrough
from binlit.estimator.base import Call, within_torch_func
from binlit.estimator.surrogate import SURROGATES

MODES, SCALES = ("deterministic", "stochastic"), ("none", "xnor", "learned")
CLIPS, EVALUATIONS = ("none", "weight", "weight_and_bias"), ("threshold", "sample", "latent")


class BinaryWeight(nn.Module):
    """latent weight -> scale * b, b in {-1, +1}: a parametrization in torch's sense.

    Args:
        weight: the initial latent weight, shape (out, ...).
        estimator: a pathwise gradient rule (see `binarize_weights`).
        mode: `deterministic`: b = sign(latent), sign(0) = +1; `stochastic`: P(b = +1) = surrogate(latent), drawn
            each time that the layer is called, for all examples at once (BinaryConnect, 1511.00363).
        surrogate: key of `SURROGATES`.
        scale: `none`; `xnor`: mean |latent| of each output channel (XNOR-Net, 1603.05279), through which the gradient
            passes as well; `learned`: a parameter for each output channel that starts there.
        evaluation: in evaluation mode `threshold` (sign), `sample`, or `latent` (the real weight, unscaled: how
            BinaryConnect tests a net that was trained with drawn weights).
        clip: what `clip_latents` holds in [-1, 1].
        rate_scale: what the learning rate of the latent weight is multiplied by, > 0.
        site: the layer's name.

    Shape: (out, ...) -> (out, ...).

    Raises:
        ValueError: a name is not known, or the estimator cannot be used for weights.
    """

    def __init__(
        self,
        weight: Tensor,
        estimator: Estimator,
        mode: str = "deterministic",
        surrogate: str = "hard_sigmoid",
        scale: str = "none",
        evaluation: str = "threshold",
        clip: str = "weight",
        rate_scale: float = 1.0,
        site: str = "",
    ) -> None:
        super().__init__()
        refuse_unknown("mode", mode, MODES)
        refuse_unknown("surrogate", surrogate, SURROGATES)
        refuse_unknown("scale", scale, SCALES)
        refuse_unknown("evaluation", evaluation, EVALUATIONS)
        refuse_unknown("clip", clip, CLIPS)
        name = type(estimator).__name__
        if estimator.score_function:
            raise ValueError(
                f"the estimator '{name}' weighs log-probabilities by the loss of each example, and a weight's bit is "
                "shared by all examples: choose a pathwise rule for weights, such as 'st_clipped'"
            )
        if estimator.needs_chance and mode == "deterministic":
            raise ValueError(f"mode='deterministic' draws no bit, and '{name}' is about the draw: use 'stochastic'")
        self.surrogate = SURROGATES[surrogate]()
        if estimator.needs_logit and not self.surrogate.is_open:
            raise ValueError(f"surrogate={surrogate!r} reaches p = 0 and p = 1; '{name}' needs surrogate='logistic'")
        self.estimator, self.mode, self.evaluation, self.clip = estimator, mode, evaluation, clip
        self.scaling, self.rate_scale, self.site = scale, rate_scale, site
        if scale == "learned":
            self.scale = nn.Parameter(channel_means(weight))

    def forward(self, latent: Tensor) -> Tensor:
        if not self.training and self.evaluation == "latent":
            return latent
        bits = self.bits(latent)
        if self.scaling == "none":
            return bits
        scale = channel_means(latent) if self.scaling == "xnor" else self.scale
        return bits * scale.reshape(-1, *[1] * (latent.dim() - 1))

    def bits(self, latent: Tensor) -> Tensor:
        """The bits of the latent weight, -1 and +1, unscaled."""
        drawn = self.mode == "stochastic" if self.training else self.evaluation == "sample"
        if not drawn and type(self.estimator) in _PLAIN and _on_plain_cpu(latent) and _all_inside(latent):
            return PlainSign.apply(latent)  # type: ignore[no-any-return]
        call = Call(latent, latent, self.surrogate, -1.0, drawn, None, self.site)
        return self.estimator(call) if self.training else self.estimator.evaluate(call)

    def extra_repr(self) -> str:
        return f"site={self.site!r}, mode={self.mode}, scale={self.scaling}, clip={self.clip}"


# Within the window both send the gradient through as it is.
_PLAIN = (ClippedStraightThrough, IdentityStraightThrough)


class PlainSign(torch.autograd.Function):
    """sign(x), backward the identity, in as few passes over memory as can be.

    The estimators' own formula reads and writes a weight of 17 million entries some fifteen times, which costs as much
    as the product with it. Under autocast the bits come out in the narrow type: they are exact there.
    """

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        bits = torch.empty_like(x, dtype=dtype)
        return torch.ge(x, 0, out=bits).mul_(2).sub_(1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.dtype = inputs[0].dtype

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].to(ctx.dtype)


def _on_plain_cpu(latent: Tensor) -> bool:
    """Whether nothing but autograd watches: torch.func, torch.compile and exports cannot look at values."""
    return latent.device.type == "cpu" and not followed() and not within_torch_func()


def _all_inside(latent: Tensor) -> bool:
    """Whether all of it lies in [-1, 1]; one pass, and False where there is a NaN."""
    low, high = torch.aminmax(latent.detach())
    return bool((low >= -1) & (high <= 1))


def channel_means(weight: Tensor) -> Tensor:
    """Mean |weight| of each output channel, shape (out,)."""
    return weight.flatten(1).abs().mean(1)
