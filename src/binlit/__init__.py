"""binlit: a laboratory for binary neurons.

    import binlit
    net = binlit.binarize(net, layers=[1], estimator="st")

Names are loaded on first use, so that the command line answers without waiting for torch.
"""

from typing import TYPE_CHECKING

import lazy_loader

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

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "binary": [
            "BinaryActivation", "binarize", "binarize_weights", "clip_latents", "set_slope", "weight_groups"
        ],
        "estimator": ["ESTIMATORS", "Step"],
    },
)  # fmt: skip
__all__ += ["__version__"]
