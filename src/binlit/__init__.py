"""binlit: a laboratory for binary neurons.

    import binlit
    net = binlit.binarize(net, layers=[1], estimator="st")

Names are loaded on first use, so that the command line answers without waiting for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from binlit.binary import BinaryActivation as BinaryActivation
    from binlit.binary import binarize as binarize
    from binlit.binary import binarize_weights as binarize_weights
    from binlit.binary import clip_latents as clip_latents
    from binlit.binary import set_slope as set_slope
    from binlit.binary import weight_groups as weight_groups
    from binlit.estimator import ESTIMATORS as ESTIMATORS
    from binlit.estimator import Step as Step

_HOME = {
    "BinaryActivation": "binlit.binary",
    "binarize": "binlit.binary",
    "binarize_weights": "binlit.binary",
    "clip_latents": "binlit.binary",
    "set_slope": "binlit.binary",
    "weight_groups": "binlit.binary",
    "ESTIMATORS": "binlit.estimator",
    "Step": "binlit.estimator",
}
__all__ = [
    "ESTIMATORS", "BinaryActivation", "Step", "__version__", "binarize", "binarize_weights", "clip_latents",
    "set_slope", "weight_groups",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'binlit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
