"""A checkpoint's file: written whole or not at all, and read only where every byte is as it was written."""

from __future__ import annotations

import contextlib
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import nn

from binlit.config.versions import up_to_date
from binlit.errors import ConfigError
from binlit.files import whole

Checkpoint = dict[str, Any]
NEEDED = {"config": dict, "state_dict": dict, "history": list, "epoch": int}
NEEDED_TO_GO_ON = {
    "global_step": int,
    "loops": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": dict,
}
KINDS = {dict: "mapping", list: "list", int: "number"}


class WholeFiles(TorchCheckpointIO):
    """Lightning's way to files, but for writing beside the target and for reading with the checksums.

    Lightning itself writes into $TMPDIR and moves the file, which is a copy where that is another file system.
    """

    def save_checkpoint(self, checkpoint: Checkpoint, path: Any, storage_options: Any = None) -> None:
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> Checkpoint:
        return load(Path(path))


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> Path:
    """Writes a checkpoint of plain containers; the earlier file of that name stays until the new one is on the disk.

    Raises:
        OSError: it cannot be written (full disk, read-only folder); nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as out:
        try:
            torch.save(checkpoint, out)
        except RuntimeError as error:  # torch's writer says that a position is unexpected where the disk is full
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
    return path


def remove_leftovers(folder: Path) -> None:
    """Removes what killed writers left in a folder of checkpoints that this process alone is at work in."""
    for path in folder.glob(".*.ckpt*"):
        path.unlink(missing_ok=True)


def check_sums(path: Path) -> None:
    """Refuses a file that is not, byte for byte, what was written.

    torch does not look at the checksums of its zip files: a flipped bit would be another weight.

    Raises:
        ConfigError: there is no such file, or it is damaged or no checkpoint.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is no file; give a run's checkpoints/last.ckpt to go on from, or best.ckpt to test")
    try:
        with zipfile.ZipFile(path) as content:
            damaged = content.testzip()
    except Exception as error:  # whatever a foreign or damaged file makes zipfile raise
        raise ConfigError(f"{path} cannot be read as a checkpoint ({type(error).__name__})") from error
    if damaged is not None:
        raise ConfigError(f"{path} cannot be read as a checkpoint (it is damaged: {damaged} has another checksum)")


def load(path: Path) -> Checkpoint:
    """What a checkpoint's file holds, on the CPU.

    Raises:
        ConfigError: as `check_sums`.
    """
    check_sums(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # of torch, of sparse weights: they are refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file makes torch raise
        raise ConfigError(f"{path} cannot be read as a checkpoint ({type(error).__name__})") from error


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint of binlit's, on the CPU, that can be tested.

    Raises:
        ConfigError: the file is no checkpoint of binlit's, or a damaged one, or its weights are not finite.
    """
    saved = load(path)
    if not isinstance(saved, dict) or not isinstance(saved.get("config"), dict):
        raise ConfigError(f"{path} holds no config, so it was not made by binlit.train")
    _require(saved, NEEDED, path)
    if not all(isinstance(entry, dict) for entry in saved["history"]):
        raise ConfigError(f"{path} cannot be used: its history is not one of epochs")
    for name, value in saved["state_dict"].items():
        if not isinstance(value, torch.Tensor):
            raise ConfigError(
                f"{path} cannot be used: its {name} is a {type(value).__name__}, where a tensor should be"
            )
        if not _is_held(value):
            raise ConfigError(
                f"{path} cannot be used: its {name} is no plain tensor with all of its values in the file"
            )
        if (value.is_floating_point() or value.is_complex()) and not value.isfinite().all():
            raise ConfigError(f"{path} cannot be used: its {name} is not finite, so the run that wrote it had diverged")
    with contextlib.suppress(LookupError, TypeError, ValueError, AttributeError):  # a foreign config is refused later
        saved["config"] = up_to_date(saved["config"])
    return saved


def _is_held(value: torch.Tensor) -> bool:
    """Whether every number has a place of its own in memory: strides of 0 make a terabyte out of one number."""
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        return False
    return value.numel() * value.element_size() <= max(value.untyped_storage().nbytes(), 1 << 20)  # small ones may


@contextlib.contextmanager
def about(path: Path) -> Iterator[None]:
    """Names the checkpoint in what is wrong with the config that it holds.

    Raises:
        ConfigError: with the path; also where the config lacks what those of runs have.
    """
    try:
        yield
    except ConfigError as error:
        raise named(error, path) from error
    except (KeyError, TypeError, AttributeError) as error:  # whatever a foreign config lacks
        raise ConfigError(f"{path} holds no config of a run ({type(error).__name__}: {error})") from error


def named(error: ConfigError, path: Path) -> ConfigError:
    """The error, with the checkpoint's path where it has not said it."""
    return error if str(path) in str(error) else ConfigError(f"{path}: {error}")


def require_state(saved: Checkpoint, path: Path) -> None:
    """Refuses a checkpoint that training cannot go on from.

    Raises:
        ConfigError: it was saved within an epoch, or the state of loops, optimizer or callbacks is missing, or belongs
            to another epoch than the history.
    """
    _require(saved, NEEDED_TO_GO_ON, path)
    if not all(isinstance(state, dict) for state in saved["callbacks"].values()):
        raise ConfigError(f"{path} cannot be gone on from: the state of its callbacks is none")
    done = len(saved["history"])
    if done <= saved["epoch"]:
        raise ConfigError(f"ckpt_path={path} was saved within an epoch; give last.ckpt beside it")
    try:
        processed = saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    except (KeyError, TypeError):
        processed = 0
    if not (0 < processed == done == saved["epoch"] + 1):
        raise ConfigError(
            f"{path} cannot be gone on from: it has a history of {done} epochs, and the state of its loops after "
            f"{processed}"
        )


def _require(saved: Checkpoint, needed: dict[str, type], path: Path) -> None:
    for key, kind in needed.items():
        if not isinstance(saved.get(key), kind):
            raise ConfigError(
                f"{path} cannot be used: it has no '{key}' (a {KINDS[kind]}), as checkpoints of runs have"
            )


def load_weights(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """`module.load_state_dict`, with the first thing that does not fit in a line.

    Raises:
        ConfigError: these are the weights of another net.
    """
    try:
        module.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError) as error:
        raise ConfigError(f"these are the weights of another net: {first_misfit(error)}") from error


def first_misfit(error: Exception) -> str:
    """The first detail of what torch says when weights do not fit, in at most a line."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return (lines[1] if len(lines) > 1 else lines[0])[:200]
