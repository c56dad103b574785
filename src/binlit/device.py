"""Which device `accelerator: auto` comes to, found out without the import of torch."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from importlib.metadata import version
from typing import Any

HIDDEN = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that leave no card


def on_this_machine(cfg: dict[str, Any]) -> dict[str, Any]:
    """The config with `trainer.accelerator=auto` as `gpu` where a card will be used: another run than on the CPU.

    On a CPU it stays `auto`, as in every record of such a run.
    """
    trainer = cfg.get("trainer")
    if not isinstance(trainer, dict) or trainer.get("accelerator") != "auto" or not has_gpu():
        return cfg
    return cfg | {"trainer": trainer | {"accelerator": "gpu"}}


@cache
def has_gpu() -> bool:
    """Whether NVIDIA's driver has a card that this process may use, and torch is not a build for the CPU alone."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in HIDDEN or version("torch").endswith("+cpu"):
        return False
    try:  # not CUDA itself, which a process that has called it cannot use any more after a fork
        driver = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    count = ctypes.c_uint()
    return driver.nvmlInit_v2() == 0 and driver.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0 and count.value > 0
