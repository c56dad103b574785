"""The typed schema, the check of a composed config, and the identity of a run. Free of torch: it answers at once."""

from binlit.config import resolvers as resolvers
from binlit.config.check import check
from binlit.config.outcome import decisive, fingerprint, row_of, run_folder

__all__ = ["check", "decisive", "fingerprint", "row_of", "run_folder"]
