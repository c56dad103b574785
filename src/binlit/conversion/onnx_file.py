"""A net with binary weights as a float ONNX file, for runtimes that know nothing of bits.

The graph reads the same uint8 pixels as the packed net, normalises them, and computes with float32 weights of -1 and +1
(or their magnitudes): as large and as slow as any float net, with the same scores.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from binlit.binary import BinaryActivation
from binlit.conversion.chain import ConversionError, chain
from binlit.conversion.convert import NORMS, SKIPPED, convert
from binlit.runtime.packed_file import write_whole

OPSET, IR = 17, 9  # that of onnxruntime from 1.14 on


def save_onnx(net: nn.Module, shape: tuple[int, int, int], mean: float, std: float, path: str | Path) -> None:
    """Writes the file, whole or not at all: input `pixels` uint8 (N, C, H, W), output `scores` float32 (N, classes).

    Args:
        net, shape, mean, std: as in `binlit.conversion.convert`; what cannot be packed is refused here as well.

    Raises:
        ConversionError: see `convert`; or the package onnx is missing.
        OSError: the file cannot be written.
    """
    try:
        import onnx
    except ImportError as error:
        raise ConversionError("an ONNX file needs the package onnx: pip install 'binlit[onnx]'") from error
    classes = convert(net, shape, mean, std).layers[-1].outputs  # refuses by name what a chain of bits is not
    net = copy.deepcopy(net).cpu().float().eval()
    graph = _Graph()
    with torch.no_grad():
        x = graph.add("Cast", "pixels", to=onnx.TensorProto.FLOAT)
        x = graph.add("Mul", x, graph.constant("pixel_scale", np.float32(1 / (255 * std))))
        x = graph.add("Sub", x, graph.constant("pixel_shift", np.float32(mean / std)))
        for link in chain(net):
            x = graph.link(link.name, link.module, x)
    graph.nodes[-1].output[0] = "scores"
    helper = onnx.helper
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "binlit",
            [helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["N", *shape])],
            [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["N", classes])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="binlit",
    )
    onnx.checker.check_model(model)
    write_whole(Path(path), model.SerializeToString(deterministic=True))


class _Graph:
    """Nodes and constants, in order."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One node with one output; returns its name."""
        from onnx import helper

        name = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        """A tensor of the file; returns its name."""
        from onnx import numpy_helper

        array = value.detach().cpu().float().contiguous().numpy() if isinstance(value, Tensor) else np.asarray(value)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def link(self, name: str, module: Any, x: str) -> str:
        """The nodes of one module of the chain after `x`."""
        if module is None or isinstance(module, nn.Flatten):
            return self.add("Flatten", x, axis=1)
        if isinstance(module, SKIPPED):
            return x
        if isinstance(module, nn.Linear | nn.Conv2d):
            held = [self.constant(f"{name}.weight", module.weight)]
            held += [] if module.bias is None else [self.constant(f"{name}.bias", module.bias)]
            if isinstance(module, nn.Linear):
                return self.add("Gemm", x, *held, transB=1)
            window = {"strides": list(module.stride), "pads": [*module.padding, *module.padding]}
            return self.add("Conv", x, *held, kernel_shape=list(module.kernel_size), **window)
        if isinstance(module, NORMS):
            ones = torch.ones_like(module.running_mean)  # type: ignore[arg-type]
            parts = {
                "weight": ones if module.weight is None else module.weight,
                "bias": 0 * ones if module.bias is None else module.bias,
                "mean": module.running_mean,
                "var": module.running_var,
            }
            held = [self.constant(f"{name}.{part}", value) for part, value in parts.items()]
            return self.add("BatchNormalization", x, *held, epsilon=module.eps)
        if isinstance(module, nn.MaxPool2d):
            kernel, stride, padding = (
                [value] * 2 if isinstance(value, int) else list(value)
                for value in (module.kernel_size, module.stride, module.padding)
            )
            return self.add("MaxPool", x, kernel_shape=kernel, strides=stride, pads=[*padding, *padding])
        assert isinstance(module, BinaryActivation)  # all others were refused
        on = self.add("GreaterOrEqual", x, self.constant(f"{name}.threshold", np.float32(module.threshold)))
        high, low = (self.constant(f"{name}.{word}", np.float32(v)) for word, v in (("on", 1), ("off", module.low)))
        return self.add("Where", on, high, low)
