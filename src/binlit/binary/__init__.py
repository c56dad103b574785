"""Where a net is binary: the units of activations and weights, their surrogate, and the placing of them."""

from binlit.binary.place import binarize, binary_units, estimators, set_slope
from binlit.binary.place_weights import (
    RealWeightWarning,
    binarize_weights,
    binary_weights,
    clip_latents,
    latent,
    weight_groups,
    weight_layers,
)  # fmt: skip
from binlit.binary.reach import ConstantSiteWarning, OutputSiteWarning, SiteWarning, UnreachedSiteWarning
from binlit.binary.sites import activation_sites
from binlit.binary.unit import BinaryActivation
from binlit.binary.weight import BinaryWeight
from binlit.estimator.surrogate import SURROGATES, Surrogate

__all__ = [
    "SURROGATES", "BinaryActivation", "BinaryWeight", "ConstantSiteWarning", "OutputSiteWarning", "RealWeightWarning",
    "SiteWarning", "Surrogate", "UnreachedSiteWarning", "activation_sites", "binarize", "binarize_weights",
    "binary_units", "binary_weights", "clip_latents", "estimators", "latent", "set_slope", "weight_groups",
    "weight_layers",
]  # fmt: skip
