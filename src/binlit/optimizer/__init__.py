"""How it is trained, where torch has no optimiser for it."""

from binlit.optimizer.bop import Bop

__all__ = ["Bop"]
