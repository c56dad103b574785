from .binary import BinaryActivation as BinaryActivation
from .binary import binarize as binarize
from .binary import binarize_weights as binarize_weights
from .binary import clip_latents as clip_latents
from .binary import set_slope as set_slope
from .binary import weight_groups as weight_groups
from .estimator import ESTIMATORS as ESTIMATORS
from .estimator import Step as Step

__version__: str
