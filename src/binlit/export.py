"""Packs a trained net into one small file for inference without torch: bits for weights, integers for thresholds.

python -m binlit.export checkpoint=outputs/bnn_mnist_mlp/RUN/checkpoints/best.ckpt
python -m binlit.export checkpoint=... out=net.binlit binary.eval=threshold
python -m binlit.export checkpoint=... onnx=net.onnx                            also as a float ONNX file
python -m binlit.export checkpoint=... trust=[my.module.Data]                  with a class of your own

The file holds the net as it is tested (in float64); read it with binlit.runtime.load. Nets with real weights or
activations, residual additions, or bits that are drawn at test time are refused by the name of the layer. Classes
that the checkpoint's config names are built; what no option of binlit names is refused unless `trust` names it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

from binlit.catalogue import Config, packaged
from binlit.catalogue.trust import check_classes
from binlit.command.before import check_checkpoint
from binlit.command.entry import run_plain
from binlit.command.words import flags
from binlit.config import check
from binlit.config.schema import Binary
from binlit.errors import ConfigError, did_you_mean, nearest
from binlit.evaluate import config_beside
from binlit.running.quick_import import load_libraries

SETTINGS = ("checkpoint", "out", "onnx", "binary.eval", "weight.eval", "trust")
WAYS = {
    "binary.eval": get_args(Binary.model_fields["eval"].annotation),
    "weight.eval": tuple(packaged("weight")["bnn"].ranges["eval"].split(" | ")),
}
SUFFIX = ".binlit"


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 where the words are wrong or the net cannot be packed."""
    return run_plain(lambda words: export(settings(words)), __doc__ or "", arguments)


def settings(words: list[str]) -> dict[str, str]:
    """{setting: value} of a command line.

    Raises:
        ConfigError: a word is no setting of this command, or checkpoint is missing.
    """
    asked: dict[str, str] = {}
    for word in flags(words).overrides:
        key, equals, value = word.partition("=")
        if key not in SETTINGS:
            near = nearest(key, SETTINGS)
            raise ConfigError(
                f"there is no setting '{key}'; " + (f"did you mean {near}?" if near else f"give {', '.join(SETTINGS)}")
            )
        if not (equals and value):
            raise ConfigError(f"'{word}' has no value; write {key}=VALUE")
        if key in asked:
            raise ConfigError(f"{key} is given twice, as {asked[key]} and as {value}; leave one out")
        if (ways := WAYS.get(key)) and value not in ways:
            raise ConfigError(f"{word} is not allowed; choose {' or '.join(ways)}{did_you_mean(value, ways)}")
        asked[key] = value
    if "checkpoint" not in asked:
        raise ConfigError("checkpoint is missing; write checkpoint=outputs/NAME/RUN/checkpoints/best.ckpt")
    path = Path(asked["checkpoint"])
    check_checkpoint(path, "checkpoint")
    if (config := config_beside(path)) is not None:
        tested_as(config, asked)
    destinations(path, asked)
    return asked


def export(asked: dict[str, str]) -> Path:
    """Writes the packed net of a checkpoint, prints what each layer became, and returns the file.

    Raises:
        ConfigError: the checkpoint is none of binlit's, or its net cannot be packed.
    """
    path = Path(asked["checkpoint"])
    out, onnx = destinations(path, asked)
    load_libraries()
    from binlit.conversion import ConversionError, convert
    from binlit.conversion.convert import described
    from binlit.running.checkpoint import about, named, read_checkpoint
    from binlit.runtime.store import PackedError, save

    saved = read_checkpoint(path)
    trust = [name.strip() for name in asked.get("trust", "").strip("[]").split(",") if name.strip()]
    for name in check_classes(saved["config"], path, trust):
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
    return out


def destinations(checkpoint: Path, asked: dict[str, str]) -> tuple[Path, Path | None]:
    """The packed file and the ONNX file that are to be written; None for one that was not asked for.

    Raises:
        ConfigError: the checkpoint is no file; or one of the two is no regular file, lies in no folder, or would
            overwrite the checkpoint or the other.
    """
    if not checkpoint.is_file():
        raise ConfigError(f"{checkpoint} is no file; give a run's checkpoints/best.ckpt")
    out = Path(asked.get("out") or checkpoint.with_suffix(SUFFIX))
    targets = {"out": out} | ({"onnx": Path(asked["onnx"])} if "onnx" in asked else {})
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
    from binlit.dataset.sizes import channels, image_size
    from binlit.running.announce import shown_warnings
    from binlit.running.build import build_data, build_task
    from binlit.running.checkpoint import load_weights

    if cfg["task"]["name"] != "classification":
        raise ConfigError(f"task={cfg['task']['name']} scores against support images: pack a task=classification net")
    with shown_warnings():
        task = build_task(cfg)
    load_weights(task, state)
    data: Any = build_data(cfg)  # nothing is read: for its mean and standard deviation
    side = image_size(cfg["dataset"])
    return task.net, (channels(cfg["dataset"]), side, side), data.mean, data.std


def tested_as(cfg: Config, asked: dict[str, str]) -> Config:
    """The run's config with the way of testing that was asked for, checked again."""
    changed = dict(cfg)
    for group in ("binary", "weight"):
        if f"{group}.eval" in asked:
            changed[group] = {**changed[group], "eval": asked[f"{group}.eval"]}
    if asked.get("binary.eval", "mean") != "mean":
        changed["binary"] = {**changed["binary"], "eval_draws": 1}
    return check(changed)


if __name__ == "__main__":
    raise SystemExit(main())
