from .schedule import Constant as Constant
from .schedule import Cosine as Cosine
from .schedule import Exponential as Exponential
from .schedule import Linear as Linear
from .schedule import Schedule as Schedule
from .schedule import Step as Step
