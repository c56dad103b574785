"""Tiny data sets in the true formats."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from scipy.io import savemat

RNG = np.random.default_rng(0)
NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def cifar(root: Path, kind: str, each: int = 6) -> dict[str, tuple[np.ndarray, list[int]]]:
    place = root / f"cifar-10-batches-{kind}"
    place.mkdir(parents=True)
    made = {}
    for name in NAMES:
        pixels = RNG.integers(0, 256, (each, 3072), np.uint8)
        labels = RNG.integers(0, 10, each).tolist()
        made[name] = pixels, labels
        if kind == "bin":
            (place / f"{name}.bin").write_bytes(np.hstack([np.array(labels, np.uint8)[:, None], pixels]).tobytes())
        else:
            content = {b"batch_label": b"x", b"labels": labels, b"data": pixels, b"filenames": [b"a.png"] * each}
            (place / name).write_bytes(pickle.dumps(content, protocol=2))
    return made


def svhn(root: Path, count: int = 12) -> dict[str, np.ndarray]:
    (root / "SVHN").mkdir(parents=True)
    made = {}
    for part in ("train", "test"):
        made[part] = {
            "X": RNG.integers(0, 256, (32, 32, 3, count), np.uint8),
            "y": np.arange(1, count + 1, dtype=np.uint8).reshape(-1, 1) % 10 + 1,
        }
        savemat(root / "SVHN" / f"{part}_32x32.mat", made[part], do_compression=True)  # as the originals
    return made
