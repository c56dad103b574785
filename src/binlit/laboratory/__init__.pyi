from .measurement import Measurement as Measurement
from .measurement import measure as measure
from .net import Replicated as Replicated
from .net import exact_gradient as exact_gradient
from .net import small_net as small_net
from .toy import descend as descend
