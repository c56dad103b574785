"""Which keys the options of `estimator` have, and which values they take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from binlit.config.option import Count, Draws, Option, Positive, Rate, Share, Width

RepeatAt = Literal["site", "input"]


class Estimator(Option):
    """`surrogate` is the one that binary.surrogate takes unless told otherwise."""

    surrogate: Literal["hard_sigmoid", "hard_tanh", "logistic"]


class ScoreFunction(Estimator):
    draws: Draws | Annotated[list[Draws], Field(min_length=1)]
    repeat_at: RepeatAt

    @model_validator(mode="after")
    def _one_count_at_the_input(self) -> ScoreFunction:
        if self.repeat_at == "input" and isinstance(self.draws, list) and len(self.draws) > 1:
            raise ValueError(f"estimator.draws={self.draws} with repeat_at=input: all sites share one count, give one")
        return self


class Reinforce(ScoreFunction):
    decay: Share


class LeaveOneOut(ScoreFunction):
    @field_validator("draws")
    @classmethod
    def _something_to_leave_out(cls, draws: int | list[int]) -> int | list[int]:
        if (draws if isinstance(draws, int) else max(draws)) < 2:
            raise ValueError(f"estimator.draws={draws} leaves nothing to compare with; rloo needs at least 2")
        return draws


class Shaped(Estimator):
    """A backward function that moves over `epochs`."""

    epochs: Count


class SwishSign(Estimator):
    beta: Positive


class ErrorDecay(Shaped):
    start: Positive
    end: Positive


class RectifiedStraightThrough(Shaped):
    power: Annotated[float, Field(ge=1, le=100)]
    window: Positive
    margin: Positive

    @model_validator(mode="after")
    def _margin_inside(self) -> RectifiedStraightThrough:
        if not self.margin < self.window:
            raise ValueError(f"estimator.margin={self.margin} must lie inside estimator.window={self.window}")
        return self


class Relaxation(Estimator):
    temperature: Positive


class GumbelRao(Relaxation):
    draws: Draws


class Gapped(Relaxation):
    gap: Positive


class Decoupled(Relaxation):
    backward_temperature: Positive


class Learned(Estimator):
    """Has parameters of its own; learning_rate null: that of the net."""

    learning_rate: Rate | None


class Nvil(ScoreFunction, Learned):
    hidden: Width
    decay: Share
    normalise: bool


class Rebar(Learned):
    temperature: Positive
    eta: Annotated[float, Field(ge=-100, le=100)]
    tune_every: Annotated[int, Field(ge=0, le=100_000)]


class Relax(Rebar):
    hidden: Width


class Coupled(Estimator):
    groups: Draws | Annotated[list[Draws], Field(min_length=1)]


class Arms(Estimator):
    draws: Draws | Annotated[list[Draws], Field(min_length=1)]

    @field_validator("draws")
    @classmethod
    def _something_to_couple(cls, draws: int | list[int]) -> int | list[int]:
        if (draws if isinstance(draws, int) else max(draws)) < 2:
            raise ValueError(f"estimator.draws={draws} leaves nothing to couple; arms needs at least 2")
        return draws


ESTIMATORS: dict[str, type[Option]] = {
    "st": Estimator,
    "st_identity": Estimator,
    "st_clipped": Estimator,
    "st_sigmoid": Estimator,
    "approx_sign": Estimator,
    "swish_sign": SwishSign,
    "ede": ErrorDecay,
    "reste": RectifiedStraightThrough,
    "concrete": Relaxation,
    "st_gumbel": Relaxation,
    "gumbel_rao": GumbelRao,
    "gapped_st": Gapped,
    "decoupled_st": Decoupled,
    "reinmax": Estimator,
    "detached": Estimator,
    "reinforce": Reinforce,
    "nvil": Nvil,
    "rloo": LeaveOneOut,
    "muprop": Estimator,
    "rebar": Rebar,
    "relax": Relax,
    "arm": Coupled,
    "disarm": Coupled,
    "arms": Arms,
    "bitflip": Coupled,
}
SCORE_FUNCTIONS = (
    "reinforce", "nvil", "rloo", "muprop", "rebar", "relax", "arm", "disarm", "arms", "bitflip",
)  # fmt: skip
RELAXATIONS = ("concrete", "st_gumbel", "gumbel_rao", "gapped_st", "decoupled_st", "reinmax")  # they need chance
