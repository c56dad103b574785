"""Packs a trained net into one small file for inference without torch: bits for weights, integers for thresholds.

python -m binlit.export checkpoint=outputs/bnn_mnist_mlp/RUN/checkpoints/best.ckpt
python -m binlit.export checkpoint=... out=net.binlit binary.eval=threshold
python -m binlit.export checkpoint=... onnx=net.onnx                            also as a float ONNX file
python -m binlit.export checkpoint=... trust=[my.module.Data]                  with a class of your own

The file holds the net as it is tested (in float64); read it with binlit.runtime.load. Nets with real weights or
activations, residual additions, or bits that are drawn at test time are refused by the name of the layer. Classes
that the checkpoint's config names are built; what no option of binlit names is refused unless `trust` names it, or an
option in a folder of yours that is given by -cd.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from binlit.catalogue import Config, facts_of
from binlit.catalogue.trust import check_classes, own_classes
from binlit.command.entry import run_hydra
from binlit.command.trained_nets import check_export
from binlit.config import check
from binlit.errors import ConfigError
from binlit.evaluate import config_beside
from binlit.running.quick_import import load_libraries

SUFFIX = ".binlit"


def main() -> None:
    run_hydra(job, "export")


def job(cfg: DictConfig) -> None:
    """Checks what was asked for before torch is loaded, then packs."""
    asked = check_export(cfg)
    path = Path(asked["checkpoint"])
    if (config := config_beside(path)) is not None:
        tested_as(config, asked)
    export(asked, *destinations(path, asked))


def export(asked: Config, out: Path, onnx: Path | None) -> None:
    """Writes the packed net of a checkpoint, and prints what each layer became.

    Raises:
        ConfigError: the checkpoint is none of binlit's, or its net cannot be packed.
    """
    path = Path(asked["checkpoint"])
    load_libraries()
    from binlit.conversion import ConversionError, convert
    from binlit.conversion.convert import described
    from binlit.running.checkpoint import about, named, read_checkpoint
    from binlit.runtime.packed_file import PackedError, save

    saved = read_checkpoint(path)
    for name in check_classes(saved["config"], path, own_classes(asked["trust"])):
        print(f"{path}: builds {name}, which is none of binlit's")
    with about(path):
        config = tested_as(saved["config"], asked)
    try:
        tested = tested_net(config, saved["state_dict"])
        packed = convert(*tested)
        if onnx:
            from binlit.conversion.onnx_file import save_onnx

            save_onnx(*tested, onnx)
        save(packed, out)
    except ConfigError as error:
        raise named(error, path) from error
    except (ConversionError, PackedError) as error:
        raise ConfigError(f"{path} cannot be packed: {error}") from error
    except OSError as error:
        raise ConfigError(f"{error.filename or out} cannot be written: {error.strerror or error}") from error
    for layer in packed.layers:
        print(f"{layer.name}: {described(layer)}")
    size, real = out.stat().st_size, 4 * sum(layer.outputs * layer.inputs for layer in packed.layers)
    print(f"written: {out}, {size:,} bytes, {real / size:.1f} times smaller than its weights as float32 ({real:,})")
    if onnx:
        print(f"written: {onnx}, {onnx.stat().st_size:,} bytes, uint8 pixels in, float32 scores out")


def destinations(checkpoint: Path, asked: Config) -> tuple[Path, Path | None]:
    """The packed file and the ONNX file that are to be written; None for one that was not asked for.

    Raises:
        ConfigError: one of the two is no regular file, lies in no folder, or would overwrite the checkpoint or the
            other.
    """
    out = Path(asked["out"] or checkpoint.with_suffix(SUFFIX))
    targets = {"out": out} | ({"onnx": Path(asked["onnx"])} if asked["onnx"] else {})
    taken = {Path(os.path.realpath(checkpoint)): "the checkpoint itself"}
    for key, target in targets.items():
        real = Path(os.path.realpath(target))  # a link stays one, and what it leads to is written
        try:
            if real.is_dir() or not real.parent.is_dir():
                raise ConfigError(f"{key}={target} cannot be written: give a file in a folder that exists")
            if os.path.lexists(real) and not real.is_file():
                raise ConfigError(f"{key}={target} is a device, a pipe or a socket: give a regular file, or a new name")
        except OSError as error:
            raise ConfigError(f"{key}={target} cannot be written: {error.strerror}") from error
        if real in taken:
            raise ConfigError(f"{key}={target} is {taken[real]}: give another name")
        taken[real] = f"the file of {key}= too"
    return out, targets.get("onnx")


def tested_net(cfg: Config, state: dict[str, Any]) -> tuple[Any, tuple[int, int, int], float, float]:
    """What `binlit.conversion.convert` takes: the net of `cfg` with the weights of `state`, shape of images, mean, std.

    Raises:
        ConfigError: the task does not classify images.
    """
    from binlit.running.build import packable, restored

    if facts_of(cfg, "task").takes.get("net", "classes") != "classes":
        raise ConfigError(f"task={cfg['task']['name']} scores against support images: pack a task=classification net")
    task, data = restored(cfg, state)
    return packable(cfg, task.net, data)


def tested_as(cfg: Config, asked: Config) -> Config:
    """The run's config with the way of testing that was asked for, checked again."""
    changed = dict(cfg)
    for group in ("binary", "weight"):
        if (way := asked[group]["eval"]) is not None:
            changed[group] = {**changed[group], "eval": way}
    if asked["binary"]["eval"] not in (None, "mean"):
        changed["binary"] = {**changed["binary"], "eval_draws": 1}
    return check(changed)


if __name__ == "__main__":
    main()
