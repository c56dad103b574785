"""From a trained net to a packed one: the side that needs torch (`binlit.packed` needs none)."""

from __future__ import annotations

from binlit.packing.convert import ConversionError as ConversionError
from binlit.packing.convert import convert as convert

__all__ = ["ConversionError", "convert"]
