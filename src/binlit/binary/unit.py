"""The binary unit: x -> p = surrogate(slope * (x - threshold)) -> b."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from binlit.estimator.base import Call, Estimator, levels_low, within_torch_func
from binlit.estimator.step import Unit
from binlit.estimator.surrogate import SURROGATES


class BinaryActivation(Unit):
    """An activation with two output values.

    In training the estimator answers (it draws or thresholds, and shapes the gradient). In evaluation mode the unit
    samples or thresholds, as `evaluation` says.

    Args:
        estimator: the gradient rule; one object is shared by all units of a net.
        mode: `stochastic` draws the bit, `deterministic` thresholds it at p = 1/2. A score function needs chance: it
            draws in training in both modes, and thresholds in evaluation when deterministic.
        surrogate: name of the firing probability, a key of `SURROGATES`.
        levels: `01` sends bits out as 0 and 1, `pm1` as -1 and +1.
        threshold: subtracted from x first, in units of x.
        evaluation: `sample`, `threshold`, or `auto` (sample when stochastic, threshold when deterministic).
        site: name by which errors, logs and records call the unit.
        number: which of the net's sites it is, from 1; None outside the list of sites.
        share: of the channels (dimension 1) that are binary, in (0, 1]; the first round(share * C) of C, at least one.
        rest: what the other channels go through, shape kept; None for the identity.

    Shape: (N, ...) -> (N, ...); in training (R * N, ...) where the estimator repeats the batch R times.

    Raises:
        ValueError: a name is not known, or the estimator needs the logit of p and the surrogate reaches 0 or 1, or it
            needs chance and the mode is deterministic; or share lies outside (0, 1].

    Examples:
        >>> import binlit, torch
        >>> unit = binlit.BinaryActivation(binlit.ESTIMATORS["st"](), mode="deterministic")
        >>> unit(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0., 1., 1.])
    """

    slope: Tensor

    def __init__(
        self,
        estimator: Estimator,
        mode: str = "stochastic",
        surrogate: str = "hard_sigmoid",
        levels: str = "01",
        threshold: float = 0.0,
        evaluation: str = "auto",
        site: str = "",
        number: int | None = None,
        share: float = 1.0,
        rest: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"share={share} is outside (0, 1]: it is the share of channels that are binary")
        refuse_unknown("mode", mode, ["stochastic", "deterministic"])
        refuse_unknown("surrogate", surrogate, list(SURROGATES))
        refuse_unknown("evaluation", evaluation, ["auto", "sample", "threshold"])
        self.estimator = estimator
        self.mode = mode
        self.surrogate = SURROGATES[surrogate]()
        self.low = levels_low(levels)
        self.threshold = threshold
        self.evaluation = evaluation
        self.site, self.number = site, number
        self.share = share
        if share < 1:
            self.rest = rest or nn.Identity()
        self.behind = False  # a child of the module whose output it makes binary, called by that module's hook
        self.replaced: tuple[str, ...] = ()  # names in the state of the activation that was here
        self.first_calls: int | None = None  # counted from placing to the end of the net's first pass
        self.first_all_on = True  # in all of these
        self.is_output = False  # known to be the classifier's output, and warned of
        # A buffer, so that the slope in force is saved with the weights that were trained under it.
        self.register_buffer("slope", torch.ones(()))
        if estimator.needs_logit and not self.surrogate.is_open:
            raise ValueError(
                f"surrogate={surrogate!r} reaches p = 0 and p = 1, where log p is infinite; "
                f"the estimator '{type(estimator).__name__}' needs surrogate='logistic'"
            )
        if estimator.needs_chance and mode == "deterministic":
            raise ValueError(
                f"mode='deterministic' draws no bit, and the estimator '{type(estimator).__name__}' is about the draw; "
                "use mode='stochastic', with evaluation='threshold' for thresholded bits at test time"
            )

    @property
    def draws_in_evaluation(self) -> bool:
        """Whether the unit takes chance when `net.eval()` is in force."""
        return self.evaluation == "sample" or (self.evaluation == "auto" and self.mode == "stochastic")

    def pre_activation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(x - threshold, slope * (x - threshold)), shape of x each; x is not changed."""
        shifted = x - self.threshold if self.threshold else x
        return shifted, shifted * self.slope.to(x.dtype)

    def forward(self, input: Tensor, by_hook: bool = False) -> Tensor:
        if self.behind and not by_hook:  # the module goes through its children, and the hook is still to come
            return input
        if self.first_calls is not None and has_values(input):
            return self.first_call(input)
        return self.binarized(input) if self.share == 1 else self.mixed(input)

    def first_call(self, x: Tensor) -> Tensor:
        """A call before the net's first pass has ended: it is counted, and what comes out knows where it comes from.

        Raises:
            ValueError: what the module in front sends out is no tensor of real numbers.
        """
        if isinstance(x, tuple | list | dict) or (isinstance(x, Tensor) and not x.is_floating_point()):
            kind = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise ValueError(
                f"binary site '{self.site}' gets {kind}, and a unit takes one tensor of real numbers: name another "
                "module, such as the one that reads this one's output"
            )
        out = self.binarized(x) if self.share == 1 else self.mixed(x)
        self.first_calls = (self.first_calls or 0) + 1
        self.first_all_on &= not within_torch_func() and out.numel() >= 64 and bool((out == 1).all())
        out.binary_site = self.site  # type: ignore[attr-defined]
        return out

    def mixed(self, x: Tensor) -> Tensor:
        """The bits of the first channels of x, beside the others as the activation sends them."""
        count, before = self.binary_channels(x.shape[1]), self.step.layout if self.step else None
        bits, real = self.binarized(x[:, :count]), self.rest(x[:, count:])
        if self.step is not None and before is not None:
            real = self.step.layout.follow(real, before)
        return torch.cat([bits, real.to(bits.dtype)], dim=1)

    def binary_channels(self, channels: int) -> int:
        """How many of so many channels are binary."""
        return channels if self.share == 1 else max(1, round(self.share * channels))

    def binarized(self, x: Tensor) -> Tensor:
        """The bits of x, all of its channels."""
        shifted, z = self.pre_activation(x)
        stochastic = self.mode == "stochastic" if self.training else self.draws_in_evaluation
        call = Call(shifted, z, self.surrogate, self.low, stochastic, self.step, self.site, self.number)
        return self.estimator(call) if self.training else self.estimator.evaluate(call)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Takes the state of a net in which this unit was not there yet, too: the unit then stays as it is."""
        held = {name: state_dict.pop(prefix + name) for name in self.replaced if prefix + name in state_dict}
        own = self.state_dict(prefix=prefix)
        if not own.keys() & state_dict.keys():
            state_dict.update(own)
            if self.share < 1:
                state_dict.update({f"{prefix}rest.{name}": value for name, value in held.items()})
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return f"site={self.site!r}, mode={self.mode}, surrogate={type(self.surrogate).__name__}, low={self.low:g}" + (
            f", share={self.share:g}" if self.share < 1 else ""
        )


def followed() -> bool:
    """Whether torch follows the code to make a graph of it (compile, export, trace) and not for its values."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]


def has_values(x: Any) -> bool:
    """Whether x is what a net is run for, and not what torch.fx or `followed` puts in its place."""
    return isinstance(x, Tensor | tuple | list | dict) and not followed()


def site_that_sent(x: Tensor) -> str | None:
    """The site whose bits x is, or a flat view of (N, units) or (N,); None for others, and after the first pass."""
    base = x._base
    return getattr(x, "binary_site", None) or (
        getattr(base, "binary_site", None) if base is not None and base.dim() <= 2 else None
    )


def refuse_unknown(name: str, value: str, known: Iterable[str]) -> None:
    """ValueError where `value` is none of the `known`."""
    if value not in known:
        raise ValueError(f"{name}={value!r} is not known; choose {', '.join(known)}")
