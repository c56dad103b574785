"""Which gradient goes back through a binary unit: one interface, one small file per family."""

from hydra.utils import get_class

from binlit.catalogue import option_meant, packaged
from binlit.estimator.base import Call, Estimator
from binlit.estimator.control_variate import MuProp
from binlit.estimator.coupled import Arm, Arms, BitFlip, DisArm
from binlit.estimator.learned import Nvil
from binlit.estimator.rebar import Rebar, Relax
from binlit.estimator.recording import StepError
from binlit.estimator.relaxed import (
    Concrete,
    DecoupledStraightThrough,
    GappedStraightThrough,
    GumbelRao,
    ReinMax,
    StraightThroughGumbel,
)
from binlit.estimator.score_function import LeaveOneOut, Reinforce, ScoreFunction
from binlit.estimator.shaped import ApproxSign, ErrorDecay, RectifiedStraightThrough, SwishSign
from binlit.estimator.step import Step
from binlit.estimator.straight_through import (
    ClippedStraightThrough,
    Detached,
    IdentityStraightThrough,
    SigmoidStraightThrough,
    StraightThrough,
    straight_through,
)

ESTIMATORS: dict[str, type[Estimator]] = {
    name: get_class(one.target) for name, one in packaged("estimator").items() if one.target
}


def meant(name: str) -> str:
    """` (did you mean X?)` for a name that is none of `ESTIMATORS`, also one that X goes by elsewhere."""
    return option_meant("estimator", name, ESTIMATORS)


__all__ = [
    "ESTIMATORS", "ApproxSign", "Arm", "Arms", "BitFlip", "Call", "ClippedStraightThrough", "Concrete",
    "DecoupledStraightThrough", "Detached", "DisArm", "ErrorDecay", "Estimator", "GappedStraightThrough", "GumbelRao",
    "IdentityStraightThrough", "LeaveOneOut", "MuProp", "Nvil", "Rebar", "RectifiedStraightThrough", "ReinMax",
    "Reinforce", "Relax", "ScoreFunction", "SigmoidStraightThrough", "Step", "StepError", "StraightThrough",
    "StraightThroughGumbel", "SwishSign", "meant", "straight_through",
]  # fmt: skip
