"""Where a net is binary: the units of activations and weights, their surrogate, and the placing of them."""

from binlit.binary.place import OutputSiteWarning, activation_sites, binarize, binary_units, estimators, set_slope
from binlit.binary.surrogate import SURROGATES, Surrogate
from binlit.binary.unit import BinaryActivation
from binlit.binary.weight import (
    BinaryWeight,
    binarize_weights,
    binary_weights,
    clip_latents,
    latent,
    weight_groups,
    weight_layers,
)  # fmt: skip

__all__ = [
    "SURROGATES", "BinaryActivation", "BinaryWeight", "OutputSiteWarning", "Surrogate", "activation_sites", "binarize",
    "binarize_weights", "binary_units", "binary_weights", "clip_latents", "estimators", "latent", "set_slope",
    "weight_groups", "weight_layers",
]  # fmt: skip
