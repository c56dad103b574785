"""Where a net is binary: the unit, its surrogate, and the placing of it at a site."""

from binlit.binary.place import OutputSiteWarning, activation_sites, binarize, binary_units, estimators, set_slope
from binlit.binary.surrogate import SURROGATES, Surrogate
from binlit.binary.unit import BinaryActivation

__all__ = [
    "SURROGATES", "BinaryActivation", "OutputSiteWarning", "Surrogate", "activation_sites", "binarize", "binary_units",
    "estimators", "set_slope",
]  # fmt: skip
