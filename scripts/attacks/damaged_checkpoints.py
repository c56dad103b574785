"""Kind 6: checkpoints with flipped bits, cut off, or readable and wrong. Refused, or as good as the whole one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attacks.checkpoint_use import WAYS, attacked
from attacks.ground import Ground
from attacks.running import Try

TITLE = "damaged checkpoints"
FLIPS, CUTS, HOLES = 70, 20, 10


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    changes: list[tuple[str, Callable[[Path], None]]] = []
    for number in range(FLIPS):
        changes.append((f"flip-{number}", _at(chance, lambda path, at, bit=number % 8: _flip(path, at, bit))))
    for number in range(CUTS):
        changes.append((f"cut-{number}", _at(chance, _cut)))
    for number in range(HOLES):
        changes.append((f"hole-{number}", _at(chance, _hole)))
    changes += [("empty", lambda path: path.write_bytes(b"")), ("text", lambda path: path.write_text("weights"))]
    changes += [("tail", lambda path: path.write_bytes(path.read_bytes() + b"\0" * 1000))]
    changes += [("fifo", _fifo), ("folder", _folder)]
    for number, (name, change) in enumerate(changes):
        yield _try(ground, name, WAYS[number % len(WAYS)], change)
    for name, wrong in WRONG.items():
        ways = ("start", "resume") if name in OF_TRAINING else ("evaluate", "folder", "resume")
        for way in ways:
            yield _try(ground, name, way, lambda path, wrong=wrong: _wrong(path, wrong))
        if name not in OF_TRAINING:
            yield _try(ground, name, "export", lambda path, wrong=wrong: _wrong(path, wrong))


def _try(ground: Ground, name: str, way: str, change: Callable[[Path], None]) -> Try:
    return Try(f"{name}, {way}", lambda folder: attacked(way, ground, folder, change))


def _at(chance: random.Random, change: Callable[[Path, float], None]) -> Callable[[Path], None]:
    """The change at a place that is drawn now, so that one try can be made again alone."""
    at = chance.random()
    return lambda path: change(path, at)


def _flip(path: Path, at: float, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1 << bit
    path.write_bytes(content)


def _cut(path: Path, at: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(at * len(content))])


def _hole(path: Path, at: float) -> None:
    """A page that never reached the disk."""
    content = bytearray(path.read_bytes())
    start = int(at * len(content)) & ~4095
    content[start : start + 4096] = bytes(len(content[start : start + 4096]))
    path.write_bytes(content)


def _fifo(path: Path) -> None:
    import os

    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


Saved = dict[str, Any]


def _wrong(path: Path, change: Callable[[Saved], Any]) -> None:
    import torch

    saved = torch.load(path, weights_only=True)
    torch.save(change(saved), path)


def _weights(change: Callable[[Any], Any], only: str = "") -> Callable[[Saved], Saved]:
    """Changes the first weight whose name has `only` in it."""

    def changed(saved: Saved) -> Saved:
        state = dict(saved["state_dict"])
        name = next(name for name, value in state.items() if only in name and value.ndim == 2)
        state[name] = change(state[name])
        return saved | {"state_dict": state}

    return changed


def _without(*names: str) -> Callable[[Saved], Saved]:
    return lambda saved: {key: value for key, value in saved.items() if key not in names}


def _put(name: str, value: Any) -> Callable[[Saved], Saved]:
    return lambda saved: saved | {name: value}


def _first_weight_gone(saved: Saved) -> Saved:
    state = dict(saved["state_dict"])
    del state[next(iter(state))]
    return saved | {"state_dict": state}


def _vast(value: Any) -> Any:
    """A tensor of a terabyte in a few bytes: all of its strides are 0."""
    import torch

    return torch.zeros(1).as_strided((1 << 20, 1 << 18), (0, 0))


def _config(change: Callable[[dict[str, Any]], Any]) -> Callable[[Saved], Saved]:
    return lambda saved: saved | {"config": change(dict(saved["config"]))}


def _set(config: dict[str, Any], group: str, **values: Any) -> dict[str, Any]:
    return config | {group: config[group] | values}


WRONG: dict[str, Callable[[Saved], Any]] = {
    "NaN weights": _weights(lambda value: value * float("nan")),
    "one NaN": _weights(lambda value: value.index_fill(0, value.new_tensor([0]).long(), float("nan"))),
    "infinite weights": _weights(lambda value: value / 0),
    "another shape": _weights(lambda value: value[:, :5]),
    "another net's names": lambda saved: saved | {"state_dict": {f"x.{k}": v for k, v in saved["state_dict"].items()}},
    "a weight missing": _first_weight_gone,
    "a weight too many": lambda saved: saved | {"state_dict": saved["state_dict"] | {"net.more": saved["epoch"]}},
    "weights as a list": _weights(lambda value: value.tolist()),
    "weights as text": _weights(lambda value: "1.0"),
    "complex weights": _weights(lambda value: value + 1j * value),
    "a vast weight": _weights(_vast),
    "sparse weights": _weights(lambda value: value.to_sparse()),
    "no state_dict": _without("state_dict"),
    "state_dict a list": _put("state_dict", [1, 2]),
    "no config": _without("config"),
    "config empty": _put("config", {}),
    "config without model": _config(lambda cfg: {key: value for key, value in cfg.items() if key != "model"}),
    "config of another width": _config(lambda cfg: _set(cfg, "model", hidden=[17])),
    "config of a vast net": _config(lambda cfg: _set(cfg, "model", hidden=[1 << 24])),
    "config of another net": _config(lambda cfg: _set(cfg, "model", name="conv4", _target_="binlit.model.Conv4")),
    "config with text for numbers": _config(lambda cfg: _set(cfg, "dataset", batch_size="many")),
    "config a list": _put("config", [1]),
    "config with deep values": _config(lambda cfg: _set(cfg, "model", hidden=_deep(200))),
    "not a dict": lambda saved: [saved],
    "no history": _without("history"),
    "history of text": _put("history", ["a", "b"]),
    "history too long": lambda saved: saved | {"history": saved["history"] * 3},
    "history empty": _put("history", []),
    "no loops": _without("loops"),
    "loops empty": _put("loops", {}),
    "no optimizer states": _without("optimizer_states"),
    "optimizer states empty": _put("optimizer_states", []),
    "no callbacks": _without("callbacks"),
    "callbacks of text": _put("callbacks", {"ModelCheckpoint": "x"}),
    "no epoch": _without("epoch"),
    "epoch of text": _put("epoch", "two"),
    "epoch below 0": _put("epoch", -5),
    "epoch far on": _put("epoch", 1000),
    "step far on": _put("global_step", 10**9),
    "no state of chance and loops": _without("loops", "optimizer_states", "callbacks", "lr_schedulers", "global_step"),
}
OF_TRAINING = {name for name in WRONG if name.startswith(("no h", "hist", "no l", "loops", "no opt", "opt", "no cal"))}
OF_TRAINING |= {name for name in WRONG if name.startswith(("callbacks", "no epoch", "epoch", "step", "no state of"))}


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value
