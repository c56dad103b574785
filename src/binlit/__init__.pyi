from . import runtime as runtime
from .binary import BinaryActivation as BinaryActivation
from .binary import binarize as binarize
from .binary import binarize_weights as binarize_weights
from .binary import clip_latents as clip_latents
from .binary import set_slope as set_slope
from .binary import weight_groups as weight_groups
from .errors import ConfigError as ConfigError
from .estimator import ESTIMATORS as ESTIMATORS
from .estimator import Step as Step
from .interface import Record as Record
from .interface import records as records
from .interface import run as run
from .interface import sweep as sweep
from .trained import load as load

__version__: str
