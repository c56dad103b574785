"""All estimators, by the names of their options."""

from __future__ import annotations

from hydra.utils import get_class

from binlit.catalogue import option_meant, packaged
from binlit.estimator.base import Estimator

ESTIMATORS: dict[str, type[Estimator]] = {
    name: get_class(one.target) for name, one in packaged("estimator").items() if one.target
}


def meant(name: str) -> str:
    """` (did you mean X?)` for a name that is none of `ESTIMATORS`, also one that X goes by elsewhere."""
    return option_meant("estimator", name, ESTIMATORS)
