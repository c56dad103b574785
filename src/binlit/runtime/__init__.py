"""Inference with packed bits, bit for bit the trained net; needs numpy and safetensors, neither torch nor Lightning.

    from binlit.runtime import load
    model = load("net.binlit")
    classes = model.predict(images)  # uint8 (N, C, H, W)

Files are made by `python -m binlit.export checkpoint=PATH`.
"""

from __future__ import annotations

from binlit.runtime.model import PackedModel as PackedModel
from binlit.runtime.model import load as load
from binlit.runtime.packed_file import PackedError as PackedError

__all__ = ["PackedError", "PackedModel", "load"]
