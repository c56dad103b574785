"""Which gradient goes back through a binary unit: one interface, one small file per family."""

from binlit.estimator.base import Call, Estimator
from binlit.estimator.score_function import LeaveOneOut, Reinforce, ScoreFunction
from binlit.estimator.step import Step, StepError
from binlit.estimator.straight_through import (
    ClippedStraightThrough,
    Detached,
    IdentityStraightThrough,
    StraightThrough,
    straight_through,
)

ESTIMATORS: dict[str, type[Estimator]] = {
    "st": StraightThrough,
    "st_identity": IdentityStraightThrough,
    "st_clipped": ClippedStraightThrough,
    "detached": Detached,
    "reinforce": Reinforce,
    "rloo": LeaveOneOut,
}

__all__ = [
    "ESTIMATORS", "Call", "ClippedStraightThrough", "Detached", "Estimator", "IdentityStraightThrough", "LeaveOneOut",
    "Reinforce", "ScoreFunction", "Step", "StepError", "StraightThrough", "straight_through",
]  # fmt: skip
