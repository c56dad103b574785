"""Score functions with a control variate that is differentiated: what they share, and MuProp.

Beside the lane that carries drawn bits there are auxiliary lanes, which carry mean or relaxed values through the same
net. Their losses, and the gradients of these losses at the site, are subtracted from the score function's signal and
added back in a form with less variance. The loss that trains the layers above, and the statistics of any BatchNorm,
are those of the drawn lane alone.

The rewards given to `Step.loss` must be differentiable, as the losses are, because the control variate is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from binlit.estimator.base import Call, Estimator, add_gradient
from binlit.estimator.recording import Draw, Recording
from binlit.estimator.score_function import draw, log_prob, open_step


class ControlVariate(Estimator):
    """Base: lane 0 carries bits, the others are auxiliary."""

    score_function = needs_logit = differentiates = True

    def forward(self, call: Call) -> Tensor:
        return call.emit(self.values(open_step(self, call), call).to(call.z.dtype))

    def values(self, step: Recording, call: Call) -> Tensor:
        """What the site sends on, in [0, 1]: the bits, and the values of the auxiliary lanes after them."""
        raise NotImplementedError

    def hooks(self, net: nn.Module, step: Recording) -> list[RemovableHandle]:
        norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        return [handle for norm in norms for handle in normalise_by_drawn_rows(norm, step)]


def normalise_by_drawn_rows(norm: nn.Module, step: Recording) -> list[RemovableHandle]:
    """Makes a BatchNorm take its statistics, and its running ones, from the rows that hold drawn bits alone.

    Relaxed and mean values spread less than bits. Were they counted, a net trained with them would normalise otherwise
    than the net that is tested. They are normalised with the statistics of the drawn rows, held fixed.
    """
    held: list[tuple[Tensor, Tensor]] = []

    def split(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        drawn = step.layout.drawn(args[0])
        held.append((drawn, args[0][drawn.shape[0] :]))
        return (drawn,)

    def join(module: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        drawn, others = held.pop()
        if not others.shape[0]:
            return output
        if module.training or module.running_mean is None:
            axes = [axis for axis in range(drawn.ndim) if axis != 1]
            variance, mean = torch.var_mean(drawn.detach().float(), axes, correction=0)
        else:
            mean, variance = module.running_mean, module.running_var
        weight, bias = (p if p is None else p.to(others.dtype) for p in (module.weight, module.bias))
        normalised = F.batch_norm(
            others, mean.to(others.dtype), variance.to(others.dtype), weight, bias, training=False, eps=module.eps
        )
        return torch.cat([output, normalised.to(output.dtype)])

    return [norm.register_forward_pre_hook(split), norm.register_forward_hook(join)]


def total_of(step: Recording, losses: Tensor, rewards: Tensor) -> Tensor:
    """What to sum up so that its gradient at an example's units is that of its own (weighted) reward.

    Where examples share losses, their rewards hold the same loss several times: the losses hold it once.
    """
    return rewards if step.weights is None else losses


@dataclass(frozen=True)
class Expanded(Draw):
    """What a site leaves: its bits, mean-field values and p, (B, ...) each, and log P(bits), (B,)."""

    bits: Tensor
    mean: Tensor
    p: Tensor
    score: Tensor


class MuProp(ControlVariate):
    """`muprop`: the score function around the first-order expansion of f at the mean-field net.

    Forward: b ~ Bernoulli(p); in a second lane every site sends its p on, which makes the mean-field values m.
    Backward: [f(b) - f(m) - g(m)^T (b - m)] (b - p) + g(m) p (1 - p), g(m) the gradient of f at m. With several sites
    each is expanded around its own mean-field value, all from the one lane.
    Bias and variance: unbiased; what is left to the score function is the curvature of f. Two passes, and a backward
    pass of the mean-field lane above the first site.
    Source: Gu et al. 2016 (1511.05176).
    """

    def values(self, step: Recording, call: Call) -> Tensor:
        logits = call.logits()
        layout = step.layout if step.draws else step.layout.with_auxiliary()
        phi, mean_phi = logits.chunk(2) if step.draws else (logits, logits)
        bits, mean = draw(phi.detach(), 1)[0], torch.sigmoid(mean_phi)
        if not mean.requires_grad:  # nothing below learns; the layers between the sites may
            mean.requires_grad_()
        p, score = torch.sigmoid(phi), log_prob(bits[None], phi)[0]
        step.record(Expanded(call.site, len(bits), bits, mean, p, score), layout)
        return torch.cat([bits, mean])

    def loss(self, step: Recording, losses: Tensor, rewards: Tensor) -> Tensor:
        total = losses[0].mean()
        draws: list[Expanded] = step.draws
        total_of_means = total_of(step, losses, rewards)[1].sum()
        slopes = torch.autograd.grad(total_of_means, [drawn.mean for drawn in draws], retain_graph=True)
        for drawn, slope in zip(draws, slopes, strict=True):
            linear = (slope * (drawn.bits - drawn.mean.detach())).flatten(1).sum(1)
            signal = step.weighted(rewards[0].detach() - rewards[1].detach()) - linear
            total = add_gradient(total, (signal * drawn.score).mean())
            total = add_gradient(total, (slope * drawn.p).flatten(1).sum(1).mean())
        return total
