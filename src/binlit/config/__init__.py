"""The typed schema, the check of a composed config, and the identity of a run. Free of torch: it answers at once."""

from binlit.config import resolvers as resolvers
from binlit.config.check import check
from binlit.config.identity import decisive, fingerprint, row_of, run_folder
from binlit.config.read import (
    Config,
    channels,
    chosen_by,
    chosen_layers,
    chosen_weights,
    image_size,
    tested_checkpoint,
)
from binlit.errors import ConfigError, nearest

__all__ = [
    "Config", "ConfigError", "channels", "check", "chosen_by", "chosen_layers",
    "chosen_weights", "decisive", "fingerprint", "image_size", "nearest", "row_of", "run_folder",
    "tested_checkpoint",
]  # fmt: skip
