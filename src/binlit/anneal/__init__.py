"""How the slope moves."""

from binlit.anneal.schedule import Constant, Cosine, Exponential, Linear, Schedule, Step

__all__ = ["Constant", "Cosine", "Exponential", "Linear", "Schedule", "Step"]
