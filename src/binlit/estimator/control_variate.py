"""Score functions with a control variate that is differentiated: MuProp, REBAR, RELAX.

Beside the lane that carries drawn bits there are auxiliary lanes, which carry mean or relaxed values through the same
net. Their losses, and the gradients of these losses at the site, are subtracted from the score function's signal and
added back in a form with less variance. The loss that trains the layers above, and the statistics of any BatchNorm,
are those of the drawn lane alone.

The rewards given to `Step.loss` must be differentiable, as the losses are, because the control variate is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from binlit.estimator.base import Call, Estimator, above_zero, add_gradient, at_least_float32, within_torch_func
from binlit.estimator.learned import Heads
from binlit.estimator.relaxed import logistic
from binlit.estimator.score_function import draw, log_prob, open_step, weighed
from binlit.estimator.step import Draw, Step, StepError


class ControlVariate(Estimator):
    """Base: lane 0 carries bits, the others are auxiliary."""

    score_function = needs_logit = True

    def forward(self, call: Call) -> Tensor:
        if within_torch_func():
            raise StepError(
                f"site '{call.site}': '{type(self).__name__}' differentiates its control variate within the step, "
                "which torch.func (vmap, grad) does not see; use a plain backward pass, or another score function "
                "such as 'rloo' or 'disarm'"
            )
        return self.lanes(open_step(self, call), call)

    def lanes(self, step: Step, call: Call) -> Tensor:
        """The unit's output: a drawn lane, and the auxiliary ones behind it."""
        raise NotImplementedError

    def auxiliary_lanes(self, step: Step) -> int:
        return step.repeats[0] - 1 if step.repeats else 0


def total_of(step: Step, losses: Tensor, rewards: Tensor) -> Tensor:
    """What to sum up so that its gradient at an example's units is that of its own (weighted) reward.

    Where examples share losses, their rewards hold the same loss several times: the losses hold it once.
    """
    return rewards if step.weights is None else losses


class MuProp(ControlVariate):
    """`muprop`: the score function around the first-order expansion of f at the mean-field net.

    Forward: b ~ Bernoulli(p); in a second lane every site sends its p on, which makes the mean-field values m.
    Backward: [f(b) - f(m) - g(m)^T (b - m)] (b - p) + g(m) p (1 - p), g(m) the gradient of f at m. With several sites
    each is expanded around its own mean-field value, all from the one lane.
    Bias and variance: unbiased; what is left to the score function is the curvature of f. Two passes, and a backward
    pass of the mean-field lane above the first site.
    Source: Gu et al. 2016 (1511.05176).
    """

    def lanes(self, step: Step, call: Call) -> Tensor:
        logits = call.logits()
        if step.draws:
            phi, mean_phi = logits.chunk(2)
        else:
            phi = mean_phi = logits
            step.add_lanes(1)
        bits, mean = draw(phi.detach(), 1)[0], torch.sigmoid(mean_phi)
        if not mean.requires_grad:  # nothing below learns; the layers between the sites may
            mean.requires_grad_()
        kept = {"bits": bits, "mean": mean, "p": torch.sigmoid(phi)}
        step.record(call.site, log_prob(bits[None], phi)[0], kept=kept)
        return call.emit(torch.cat([bits, mean]).to(call.z.dtype))

    def loss(self, step: Step, losses: Tensor, rewards: Tensor) -> Tensor:
        if not step.draws:
            return losses.mean()
        total = losses[0].mean()
        means = [drawn.kept["mean"] for drawn in step.draws]
        slopes = torch.autograd.grad(total_of(step, losses, rewards)[1].sum(), means, retain_graph=True)
        for drawn, mean, slope in zip(step.draws, means, slopes, strict=True):
            linear = (slope * (drawn.kept["bits"] - mean.detach())).flatten(1).sum(1)
            signal = step.weighted(rewards[0].detach() - rewards[1].detach()) - linear
            total = add_gradient(total, (signal * drawn.score).mean())
            total = add_gradient(total, (slope * drawn.kept["p"]).flatten(1).sum(1).mean())
        return total


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
        self,
        temperature: float = 0.5,
        eta: float = 1.0,
        tune_every: int = 10,
        learning_rate: float | None = 0.01,
    ) -> None:
        super().__init__()
        if tune_every < 0:
            raise ValueError(f"tune_every={tune_every} must be at least 0 (0: eta and temperature stay as they are)")
        self.tune_every = tune_every
        self.learning_rate = None if learning_rate is None else above_zero("learning_rate", learning_rate)
        self.log_temperature = nn.Parameter(torch.tensor(above_zero("temperature", temperature)).log())
        self.eta = nn.Parameter(torch.tensor(float(eta)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def lanes(self, step: Step, call: Call) -> Tensor:
        logits = call.logits()
        lanes = logits.unflatten(0, (1 + len(step.draws), -1))  # drawn, then relaxed from each earlier site on
        step.add_lanes(1)
        phi = lanes[0]
        noise = logistic(phi.detach())  # the same in every lane: what differs is the site that is relaxed first
        bits = (phi.detach() + noise >= 0).to(phi.dtype)
        temperature = self.log_temperature.exp().to(phi.dtype)
        z = phi.detach() + noise
        mine = torch.sigmoid(z / temperature)
        if not mine.requires_grad:
            mine.requires_grad_()
        earlier = torch.sigmoid((lanes[1:] + noise) / temperature)
        kept = {"bits": bits, "noise": noise, "z": z, "relaxed": mine, "phi": phi}
        step.record(call.site, phi.new_zeros(phi.shape[0]), kept=kept)
        return call.emit(torch.cat([bits, *earlier, mine]).to(call.z.dtype))

    def loss(self, step: Step, losses: Tensor, rewards: Tensor) -> Tensor:
        if not step.draws:
            return losses.mean()
        total = losses[0].mean()
        tune = bool(self.tune_every) and int(self.steps) % self.tune_every == 0 and self.training
        variance = losses.new_zeros(())
        for lane, drawn in enumerate(step.draws, start=1):
            shared = total_of(step, losses, rewards)[lane].sum()
            f, relaxed = step.weighted(rewards[0].detach()), step.weighted(rewards[lane])
            estimate = self.estimate(drawn, f, relaxed, shared, tune)  # (N, ...): the gradient at phi
            total = add_gradient(total, weighed(estimate.detach()[None], drawn.kept["phi"]).mean())
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

    def estimate(self, drawn: Draw, f: Tensor, relaxed: Tensor, total: Tensor, tune: bool) -> Tensor:
        """The estimate of df/dphi, shape of phi; with `tune`, differentiable in the learned parameters.

        Args:
            drawn: the site's record.
            f: reward of the drawn lane, (N,).
            relaxed: reward of the lane in which this site is the first that is relaxed, (N,), with its graph.
            total: scalar whose gradient at an example's relaxed bits is that of the example's `relaxed`.
            tune: whether the estimate is to be differentiated.
        """
        kept = drawn.kept
        bits, phi, z = kept["bits"], kept["phi"].detach(), kept["z"]
        (slope,) = torch.autograd.grad(total, kept["relaxed"], retain_graph=True, create_graph=tune)
        y, temperature = kept["relaxed"], self.log_temperature.exp().to(phi.dtype)
        if not tune:
            y, relaxed, temperature = y.detach(), relaxed.detach(), temperature.detach()
        control = self.eta.to(phi.dtype) * relaxed  # c(z), (N,)
        steepness = self.eta.to(phi.dtype) * slope * y * (1 - y) / temperature  # dc/dz
        extra = self.extra(drawn, z, tune)
        if extra is not None:
            control, steepness = control + extra[0], steepness + extra[1]
        p, q = torch.sigmoid(phi), torch.sigmoid(-phi)
        noise = kept["noise"]
        # u = sigmoid(noise), and 1 - u = sigmoid(-noise): neither loses digits near its end
        share = torch.where(bits > 0, q / torch.sigmoid(noise), p / torch.sigmoid(-noise)).clamp(max=1)
        missed = (f - control).view(-1, *[1] * (phi.ndim - 1))
        return missed * (bits - p) + steepness * share

    def extra(self, drawn: Draw, z: Tensor, tune: bool) -> tuple[Tensor, Tensor] | None:
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
        if hidden < 1:
            raise ValueError(f"hidden={hidden} must be at least 1")
        self.heads = Heads(hidden)

    def prepare(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.heads.prepare(shapes)

    def lanes(self, step: Step, call: Call) -> Tensor:
        self.heads.of(call.site)  # refuse before anything is drawn
        return super().lanes(step, call)

    def extra(self, drawn: Draw, z: Tensor, tune: bool) -> tuple[Tensor, Tensor]:
        head = self.heads.of(drawn.site)
        leaf = at_least_float32(z.detach()).to(next(head.parameters()).dtype).requires_grad_()
        with torch.enable_grad():
            value = head(leaf)
            (slope,) = torch.autograd.grad(value.sum(), leaf, create_graph=tune, retain_graph=tune)
        return (value if tune else value.detach()).to(z.dtype), slope.to(z.dtype)
