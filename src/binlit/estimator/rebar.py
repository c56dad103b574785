"""Control variates at the relaxed bits, with parameters that fit them to the estimate's own variance: REBAR, RELAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from binlit.estimator.base import Call, above_zero, add_gradient, at_least_float32
from binlit.estimator.control_variate import ControlVariate, total_of
from binlit.estimator.learned import Heads
from binlit.estimator.recording import Draw, Recording
from binlit.estimator.relaxed import logistic
from binlit.estimator.score_function import weighed


@dataclass(frozen=True)
class Relaxed(Draw):
    """What a site leaves, (B, ...) each: logits phi; logistic noise, b = 1[phi + noise >= 0]; the relaxed bits."""

    phi: Tensor
    noise: Tensor
    relaxed: Tensor


class Rebar(ControlVariate):
    """`rebar`: the score function around f at the relaxed bits, with learned scale and temperature.

    Forward: u uniform, z = phi + logit(u), b = 1[z >= 0]; one lane more for each site, in which it sends
    y = sigmoid(z / temperature) on, and all later sites relax too.
    Backward: [f(b) - c(z')] (b - p) + dc/dphi(z) - dc/dphi(z'), c = eta * f(y), z' the same z seen as a draw given b.
    As z' and z are one number here, one relaxed lane serves both, and the difference of their derivatives is
    dc/dz * D, D = (1 - p) / u where b = 1 and p / (1 - u) where b = 0.
    Bias and variance: unbiased for any eta and temperature; both are moved down the gradient of the estimate's own
    variance (of its logarithm), every `tune_every`-th step. Passes: 1 + the number of binary layers, and a backward
    pass of the relaxed lanes above the first site.
    Source: Tucker et al. 2017 (1703.07370), with z and z' coupled.

    Args:
        temperature: to start from, > 0.
        eta: to start from.
        tune_every: steps from one change of eta and temperature to the next, >= 1; 0: never.
        learning_rate: of the learned parameters; None for the net's.
    """

    steps: Tensor

    def __init__(
        self, temperature: float = 0.5, eta: float = 1.0, tune_every: int = 10, learning_rate: float | None = 0.01
    ) -> None:
        super().__init__()
        if tune_every < 0:
            raise ValueError(f"tune_every={tune_every} must be at least 0 (0: eta and temperature stay as they are)")
        self.tune_every = tune_every
        self.learning_rate = None if learning_rate is None else above_zero("learning_rate", learning_rate)
        self.log_temperature = nn.Parameter(torch.tensor(above_zero("temperature", temperature)).log())
        self.eta = nn.Parameter(torch.tensor(float(eta)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def values(self, step: Recording, call: Call) -> Tensor:
        logits = call.logits().unflatten(0, (step.layout.lanes, -1))  # drawn, then relaxed from each earlier site on
        phi = logits[0]
        noise = logistic(phi.detach())  # the same in every lane: what differs is the site that is relaxed first
        z = phi.detach() + noise
        temperature = self.log_temperature.exp().to(phi.dtype)
        relaxed = torch.sigmoid(z / temperature)
        if not relaxed.requires_grad:
            relaxed.requires_grad_()
        earlier = torch.sigmoid((logits[1:] + noise) / temperature)
        step.record(Relaxed(call.site, len(phi), phi, noise, relaxed), step.layout.with_auxiliary())
        return torch.cat([(z >= 0).to(z.dtype), *earlier, relaxed])

    def loss(self, step: Recording, losses: Tensor, rewards: Tensor) -> Tensor:
        total = losses[0].mean()
        tune = bool(self.tune_every) and int(self.steps) % self.tune_every == 0 and self.training
        variance = losses.new_zeros(())
        drawn: Relaxed
        for lane, drawn in enumerate(step.draws, start=1):
            shared = total_of(step, losses, rewards)[lane].sum()
            f, relaxed = step.weighted(rewards[0].detach()), step.weighted(rewards[lane])
            estimate = self.estimate(drawn, f, relaxed, shared, tune)  # (N, ...): the gradient at phi
            total = add_gradient(total, weighed(estimate.detach()[None], drawn.phi).mean())
            variance = variance + estimate.flatten(1).square().sum(1).mean()
        if tune:
            learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
            gradients = torch.autograd.grad(variance.log(), learned, retain_graph=True, allow_unused=True)
            for parameter, gradient in zip(learned, gradients, strict=True):
                if gradient is not None:
                    total = add_gradient(total, (gradient * parameter).sum())
        if self.training:
            self.steps += 1
        return total

    def estimate(self, drawn: Relaxed, f: Tensor, relaxed: Tensor, total: Tensor, tune: bool) -> Tensor:
        """The estimate of df/dphi, shape of phi; with `tune`, differentiable in the learned parameters.

        Args:
            drawn: the site's record.
            f: reward of the drawn lane, (N,).
            relaxed: reward of the lane in which this site is the first that is relaxed, (N,), with its graph.
            total: scalar whose gradient at an example's relaxed bits is that of the example's `relaxed`.
            tune: whether the estimate is to be differentiated.
        """
        phi, y = drawn.phi.detach(), drawn.relaxed
        bits = (phi + drawn.noise >= 0).to(phi.dtype)
        (slope,) = torch.autograd.grad(total, y, retain_graph=True, create_graph=tune)
        temperature = self.log_temperature.exp().to(phi.dtype)
        if not tune:
            y, relaxed, temperature = y.detach(), relaxed.detach(), temperature.detach()
        control = self.eta.to(phi.dtype) * relaxed  # c(z), (N,)
        steepness = self.eta.to(phi.dtype) * slope * y * (1 - y) / temperature  # dc/dz
        extra = self.extra(drawn, tune)
        if extra is not None:
            control, steepness = control + extra[0], steepness + extra[1]
        p, q = torch.sigmoid(phi), torch.sigmoid(-phi)
        # u = sigmoid(noise), and 1 - u = sigmoid(-noise): neither loses digits near its end
        share = torch.where(bits > 0, q / torch.sigmoid(drawn.noise), p / torch.sigmoid(-drawn.noise)).clamp(max=1)
        missed = (f - control).view(-1, *[1] * (phi.ndim - 1))
        return missed * (bits - p) + steepness * share

    def extra(self, drawn: Relaxed, tune: bool) -> tuple[Tensor, Tensor] | None:
        """What is added to the control variate and to its derivative with respect to z; None for nothing."""
        return None


class Relax(Rebar):
    """`relax`: REBAR, and a small net of z added to its control variate.

    Backward: as `rebar`, with c = eta * f(y) + r(z), r a net of one hidden layer for each site, whose output starts
    at 0.
    Bias and variance: unbiased for any r; eta, temperature and r are moved down the gradient of the variance.
    Passes as `rebar`.
    Source: Grathwohl et al. 2018 (1711.00123), the estimator for discrete variables.

    Args:
        hidden: width of r's hidden layer.
        temperature, eta, tune_every, learning_rate: as in `Rebar`.

    Raises:
        StepError: r was not made (see `binlit.estimator.learned`).
    """

    learns = True

    def __init__(
        self,
        temperature: float = 0.5,
        eta: float = 1.0,
        hidden: int = 32,
        tune_every: int = 10,
        learning_rate: float | None = 0.01,
    ) -> None:
        super().__init__(temperature, eta, tune_every, learning_rate)
        self.heads = Heads(hidden)

    def prepare(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.heads.prepare(shapes)

    def values(self, step: Recording, call: Call) -> Tensor:
        self.heads.of(call.site)  # refuse before anything is drawn
        return super().values(step, call)

    def extra(self, drawn: Relaxed, tune: bool) -> tuple[Tensor, Tensor]:
        head, z = self.heads.of(drawn.site), drawn.phi.detach() + drawn.noise
        leaf = at_least_float32(z).to(next(head.parameters()).dtype).requires_grad_()
        with torch.enable_grad():
            value = head(leaf)
            (slope,) = torch.autograd.grad(value.sum(), leaf, create_graph=tune, retain_graph=tune)
        return (value if tune else value.detach()).to(z.dtype), slope.to(z.dtype)
