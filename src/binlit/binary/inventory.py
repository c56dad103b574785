"""What a net is made of: for each layer its shape, its parameters by bit width, its multiplications, its memory.

Whether a weight or an input is binary is inferred from values: a weight is when each output channel has one magnitude,
an input when its values are two and those of a bit.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from binlit.binary import BinaryActivation, binary_weights, weight_layers
from binlit.binary.place import evaluating

WORD = 64  # bits: a row of packed weights is filled up to whole words


@dataclass(frozen=True)
class Line:
    """One layer.

    Attributes:
        name, kind: where it is, and the class of it.
        shape: of its output for one example.
        weight: `real`, or the values of its weights: `±1`, `±a` (a magnitude for each output channel).
        input_bits: 1 where it reads bits, 32 elsewhere.
        bits, floats: how many of its parameters have 1 bit, and 32 (running statistics counted here).
        binary_macs: multiplications of a bit by a bit, for one example.
        mixed_macs: of a bit by a real number: additions.
        float_macs: of real numbers.
        memory: bytes, 1-bit parameters at one bit each.
        packed: bytes, rows of 1-bit weights filled up to 64-bit words.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    weight: str
    input_bits: int
    bits: int
    floats: int
    binary_macs: int
    mixed_macs: int
    float_macs: int
    memory: int
    packed: int


MACS = ("binary_macs", "mixed_macs", "float_macs")
COUNTS = ("bits", "floats", *MACS, "memory", "packed")


def inventory(net: nn.Module, example: Tensor) -> list[Line]:
    """One line for each module with parameters or a binary unit, in the order in which data passes.

    Args:
        net: left as it was.
        example: one input or more, shape (N, ...); noise will do.
    """
    lines: dict[int, Line] = {}
    weighty = set(weight_layers(net))
    holders = [m for m in net.modules() if isinstance(m, BinaryActivation) or hasattr(m, "parametrizations")]
    # parts of a binary weight or unit are counted with the layer that they belong to
    inside = {id(part) for module in holders for part in module.modules() if part is not module}
    names = {id(module): name for name, module in net.named_modules() if id(module) not in inside}

    def look(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and args and isinstance(args[0], Tensor):
            line = _line(names[id(module)], module, args[0], output, names[id(module)] in weighty)
            if (first := lines.get(id(module))) is not None:  # called again: its parameters are there once
                line = replace(first, **{macs: getattr(first, macs) + getattr(line, macs) for macs in MACS})
            lines[id(module)] = line

    handles = [
        module.register_forward_hook(look)
        for module in net.modules()
        if id(module) in names and (_own(module) or isinstance(module, BinaryActivation))
    ]
    with evaluating(net, handles):
        net(example)
    return list(lines.values())


def totals(lines: list[Line]) -> dict[str, int]:
    """Sums over all lines, and `float_memory`: bytes with 32 bits for each parameter."""
    sums = {name: sum(getattr(line, name) for line in lines) for name in COUNTS}
    return sums | {"float_memory": 4 * (sums["bits"] + sums["floats"])}


def as_record(lines: list[Line]) -> dict[str, Any]:
    """What the record of a run holds of its net."""
    return {"layers": [asdict(line) | {"shape": list(line.shape)} for line in lines], "totals": totals(lines)}


def show_inventory(lines: list[Line], title: str, net: nn.Module | None = None) -> None:
    """Prints the lines and their totals; with `net`, also which layers are tested with real weights."""
    table = Table(title=title, title_justify="left")
    for heading in ("layer", "output", "weights", "input", "1-bit", "32-bit", "binary", "mixed", "float", "memory"):
        table.add_column(heading, justify="left" if heading in ("layer", "output", "weights") else "right")
    for line in lines:
        table.add_row(
            f"{line.name} ({line.kind})",
            " x ".join(map(str, line.shape)),
            line.weight or "–",
            f"{line.input_bits} bit",
            *(_short(getattr(line, name)) for name in COUNTS[:5]),
            _bytes(line.memory),
        )
    sums = totals(lines)
    table.add_section()
    table.add_row("all", "", "", "", *(_short(sums[name]) for name in COUNTS[:5]), _bytes(sums["memory"]))
    console = Console(highlight=False)
    (console if console.is_terminal else Console(width=140, highlight=False)).print(table)
    products = sums["binary_macs"] + sums["mixed_macs"] + sums["float_macs"]
    console.print(
        "1-bit and 32-bit: parameters (running statistics among the latter). binary, mixed, float: products of two "
        f"bits, of a bit and a number, of two numbers, for one example: {sums['binary_macs'] / max(products, 1):.1%} "
        f"of {_short(products)} are binary.\n"
        f"packed: {_bytes(sums['packed'])}, {sums['float_memory'] / max(sums['packed'], 1):.1f} times "
        f"smaller (whole 64-bit words) than {_bytes(sums['float_memory'])} with 32 bits each",
        soft_wrap=True,
    )
    if net is not None and (real := latent_layers(net)):
        console.print(f"trained with binary weights and tested with the real latent ones: {', '.join(real)}")


def _own(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False)) or hasattr(module, "parametrizations")


def _line(name: str, module: Any, x: Tensor, output: Tensor, weighty: bool) -> Line:
    shape = tuple(output.shape[1:])
    bits = floats = macs = padded = 0
    values = ""
    one = is_binary(x)
    if weighty:
        weight = module.weight
        values = magnitudes(weight)
        per_output = weight[0].numel()
        macs = math.prod(shape) * per_output if weight.dim() == 2 else output[0].numel() * per_output
        if values == "real":
            floats = weight.numel()
        else:
            bits = weight.numel()
            padded = weight.shape[0] * -(-per_output // WORD) * WORD
            floats = weight.shape[0] if values == "±a" else 0
        bias = getattr(module, "bias", None)
        floats += 0 if bias is None else bias.numel()
    else:
        held = [*module.parameters(recurse=False)]
        held += (
            [b for b in module.buffers(recurse=False) if b.dim()] if not isinstance(module, BinaryActivation) else []
        )
        floats = sum(each.numel() for each in held)
    binary = bits > 0
    return Line(
        name,
        type(module).__name__.removeprefix("Parametrized"),
        shape,
        values,
        1 if one else 32,
        bits,
        floats,
        macs if binary and one else 0,
        macs if binary != one else 0,
        macs if not binary and not one else 0,
        -(-bits // 8) + 4 * floats,
        padded // 8 + 4 * floats,
    )


def is_binary(x: Tensor) -> bool:
    """Whether x holds bits: nothing but 0 and 1, or nothing but -1 and +1, and both of them."""
    return any(bool(((x == low) | (x == 1)).all() and (x == low).any() and (x == 1).any()) for low in (0, -1))


def magnitudes(weight: Tensor) -> str:
    """`±1`, `±a` where each output channel has one magnitude, or `real`."""
    size = weight.detach().flatten(1).abs()
    if bool((size == 1).all()):
        return "±1"
    # a single weight has one magnitude in any case
    plain = torch.equal(size, size[:, :1].expand_as(size)) and bool(size.all()) and size.shape[1] > 1
    return "±a" if plain else "real"


def latent_layers(net: nn.Module) -> list[str]:
    """Layers that are trained with binary weights and tested with the real latent ones."""
    return [name for name, unit in binary_weights(net).items() if unit.evaluation == "latent"]


def _short(count: int) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return str(count) if count else "0"


def _bytes(count: int) -> str:
    for size, unit in ((2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} B"
