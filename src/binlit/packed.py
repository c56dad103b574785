"""The former name of `binlit.runtime`."""

from __future__ import annotations

import warnings

from binlit.runtime import PackedError as PackedError
from binlit.runtime import PackedModel as PackedModel
from binlit.runtime import load as load

warnings.warn("binlit.packed is binlit.runtime now; the old name will go", DeprecationWarning, stacklevel=2)
