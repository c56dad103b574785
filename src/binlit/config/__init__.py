"""The typed schema, the check of a composed config, and the identity of a run. Free of torch: it answers at once."""

from binlit.config import resolvers as resolvers
from binlit.config.check import check, check_start
from binlit.config.classes import check_classes, named_classes, own_classes
from binlit.config.identity import decisive, fingerprint, row_of, run_folder
from binlit.config.read import (
    Config,
    ConfigError,
    binary_embedding,
    channels,
    chosen_by,
    chosen_layers,
    chosen_weights,
    did_you_mean,
    image_size,
    nearest,
    no_choice,
    scale_of_bits,
    tested_checkpoint,
)

__all__ = [
    "Config", "ConfigError", "binary_embedding", "channels", "check", "check_classes", "check_start", "chosen_by",
    "chosen_layers", "chosen_weights", "decisive", "did_you_mean", "fingerprint", "image_size", "named_classes",
    "nearest", "no_choice", "own_classes", "row_of", "run_folder", "scale_of_bits", "tested_checkpoint",
]  # fmt: skip
