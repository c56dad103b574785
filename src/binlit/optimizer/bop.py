"""Bop: binary weights without latent ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adam import adam


class Bop(Optimizer):
    """Flips a binary weight when its averaged gradient is large and keeps pointing against it; Adam for all else.

    m <- (1 - gamma) m + gamma g; w <- -w where |m| > threshold and sign(m) = sign(w).
    The parameters of groups with `binary` True are the weights themselves, -1 or +1 (they are made so at the first
    step); scheduled learning rates act on the others, and on gamma in proportion.

    Args:
        params: parameter groups, such as `binlit.weight_groups(net)` gives.
        lr, betas, eps, weight_decay: of Adam, for the real parameters.
        gamma: adaptivity rate, in (0, 1]: how fast the average forgets.
        threshold: >= 0, in units of the gradient; too low and weights flip at every step, too high and none does.

    Raises:
        ValueError: an argument is out of range.

    Source: Helwegen et al. 2019 (1906.02107), Algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        gamma: float = 1e-4,
        threshold: float = 1e-8,
        betas: Iterable[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not 0 < gamma <= 1:
            raise ValueError(f"gamma={gamma} is outside (0, 1]")
        betas = tuple(betas)
        if not threshold >= 0:
            raise ValueError(f"threshold={threshold} must be 0 or above")
        if not (lr > 0 and eps > 0 and weight_decay >= 0):
            raise ValueError(f"lr={lr} and eps={eps} must be above 0, weight_decay={weight_decay} must not be below")
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={betas} must be two numbers in [0, 1)")
        defaults = {
            "lr": lr, "gamma": gamma, "threshold": threshold, "betas": betas, "eps": eps,
            "weight_decay": weight_decay, "binary": False,
        }  # fmt: skip
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    (self._flip if group["binary"] else self._move)(parameter, parameter.grad, group)
        return loss

    def _flip(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["mean"] = torch.zeros_like(weight)
            weight.copy_(torch.where(weight >= 0, 1.0, -1.0))
        gamma = group["gamma"] * group["lr"] / group.get("initial_lr", group["lr"])  # a scheduler's part of it
        mean = state["mean"].lerp_(gradient, gamma)
        weight.mul_(1 - 2 * ((mean.abs() > group["threshold"]) & (mean * weight > 0)).to(weight.dtype))

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        adam(
            [parameter], [gradient], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]],
            amsgrad=False, beta1=group["betas"][0], beta2=group["betas"][1], lr=group["lr"],
            weight_decay=group["weight_decay"], eps=group["eps"], maximize=False,
        )  # fmt: skip
