"""From a trained net to a packed one: the side that needs torch (`binlit.runtime` needs none)."""

from __future__ import annotations

from binlit.conversion.convert import ConversionError as ConversionError
from binlit.conversion.convert import convert as convert

__all__ = ["ConversionError", "convert"]
