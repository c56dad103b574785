"""The gradients themselves, measured against the truth: exact enumeration of small nets, and toys where bias shows."""

from binlit.laboratory.measure import Measurement, measure
from binlit.laboratory.net import Replicated, exact_gradient, small_net
from binlit.laboratory.toy import descend

__all__ = ["Measurement", "Replicated", "descend", "exact_gradient", "measure", "small_net"]
