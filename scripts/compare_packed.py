"""Compares a packed net with the net that it was made from, on the whole test set.

    python -m binlit.export checkpoint=PATH out=net.binlit
    python scripts/compare_packed.py PATH net.binlit [--kernel native|numpy] [--json FILE]

Printed: images whose integers (the sums of the last layer) differ from torch's in float64 and in float32, the largest
difference of scores, and the accuracy of all three.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from binlit.catalogue.trust import check_classes
from binlit.config import check
from binlit.export import tested_net
from binlit.running.build import build_data
from binlit.running.checkpoint import read_checkpoint
from binlit.runtime import load
from binlit.runtime.native import instruction_set


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--kernel", default="auto")
    parser.add_argument("--data-dir", help="default: the run's own, or $BINLIT_DATA_DIR")
    parser.add_argument("--trust", nargs="*", default=[], help="own classes that the checkpoint's config names")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    saved = read_checkpoint(args.checkpoint)
    check_classes(saved["config"], args.checkpoint, args.trust)
    cfg = check(saved["config"])
    if args.data_dir and "data_dir" in cfg["dataset"]:
        cfg["dataset"]["data_dir"] = args.data_dir
    net, shape, mean, std = tested_net(cfg, saved["state_dict"])
    data = build_data(cfg)
    data.setup("test")
    part = data.parts["test"]  # type: ignore[attr-defined]
    images, labels = part.images, part.labels.numpy()
    model = load(args.packed, kernel=args.kernel)
    last = model.net.layers[-1]
    assert last.scale is not None
    assert last.shift is not None
    integers, scores = model.integers(images.numpy()), model.scores(images.numpy())
    size = args.packed.stat().st_size
    real = 4 * sum(layer.outputs * layer.inputs for layer in model.net.layers)
    found = {
        "net": f"{cfg['model']['name']} {list(shape)}", "images": len(labels), "kernel": model.kernel,
        "accuracy": float((scores.argmax(1) == labels).mean()), "bytes": size, "float32 bytes of weights": real,
        "ratio": real / size,
    }  # fmt: skip
    if model.kernel == "native":
        found["instruction set"] = instruction_set()
    for kind in (torch.float64, torch.float32):
        theirs = _scores(net, images, mean, std, kind)
        name = str(kind).removeprefix("torch.")
        # the integers that torch summed, from its scores: the scale and shift behind them are known
        sums = np.rint((theirs - last.shift) / last.scale).astype(np.int64)
        found[f"images with other integers than {name}"] = int((sums != integers).any(1).sum())
        found[f"largest difference of scores to {name}"] = float(np.abs(theirs - scores).max())
        found[f"accuracy of {name}"] = float((theirs.argmax(1) == labels).mean())
    for name, value in found.items():
        print(f"{name}: {value}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@torch.no_grad()
def _scores(net: torch.nn.Module, images: torch.Tensor, mean: float, std: float, kind: torch.dtype) -> np.ndarray:
    net = net.to(kind).eval()
    parts = [net((part.to(kind) / 255 - mean) / std) for part in images.split(500)]
    return torch.cat(parts).double().numpy()


if __name__ == "__main__":
    main()
