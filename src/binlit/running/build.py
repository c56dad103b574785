"""From a checked config to the objects of a run: data, net with its binary units, task, trainer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from binlit.binary import binarize, binarize_weights
from binlit.callbacks import ProgressBar
from binlit.catalogue import Config
from binlit.catalogue.build import build
from binlit.config.layers import chosen_layers, chosen_weights
from binlit.dataset.sizes import channels, image_size
from binlit.errors import ConfigError, complain
from binlit.running.announce import shown_warnings
from binlit.running.checkpoint import WholeFiles, load_weights
from binlit.task import Learning


def build_data(cfg: Config) -> pl.LightningDataModule:
    """The data module, nothing read yet."""
    return build(cfg["dataset"])


def build_net(cfg: Config) -> nn.Module:
    """The net with fresh weights, binary at the sites that the config names.

    Raises:
        ConfigError: a site or layer of the model cannot be binary.

    Warns:
        SiteWarning: a site is the classifier's output, or not reached.
    """
    net = build(cfg["model"], without=("name", "sites", "layers"))
    try:
        return _made_binary(net, cfg)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"model={cfg['model']['name']}: {error}") from error


def _made_binary(net: nn.Module, cfg: Config) -> nn.Module:
    layers, weights = chosen_layers(cfg), chosen_weights(cfg)
    if weights:
        how = cfg["weight"]
        binarize_weights(
            net,
            _site_numbers(weights),
            build(how["estimator"], without=("name", "surrogate")),
            candidates=cfg["model"]["layers"],
            evaluation=how["eval"],
            **{key: how[key] for key in ("mode", "surrogate", "scale", "clip", "rate", "init")},
        )
    if not layers:
        return net
    binary = cfg["binary"]
    return binarize(
        net,
        _site_numbers(layers),
        build(cfg["estimator"], without=("name", "surrogate")),
        sites=cfg["model"]["sites"],
        mode=binary["mode"],
        surrogate=binary["surrogate"],
        levels=binary["levels"],
        threshold=binary["threshold"],
        evaluation="sample" if binary["eval"] == "mean" else binary["eval"],
        share=binary.get("share", 1.0),
        example=example_images(cfg),
    )


def example_images(cfg: Config) -> Tensor:
    """Two images of noise of the data set's shape, the same every time."""
    noise = torch.Generator().manual_seed(0)
    data = cfg["dataset"]
    return torch.randn(2, channels(data), image_size(data), image_size(data), generator=noise)


def _site_numbers(layers: list[str]) -> list[int | str]:
    """Canonical names, which are texts, as `binarize` takes them: numbers of sites as integers."""
    return [int(layer) if layer.isdigit() else layer for layer in layers]


def build_task(cfg: Config) -> Learning:
    """The task around a net with weights that the seed decides; `build_net` places its binary units."""
    torch.manual_seed(cfg["seed"])
    task = build(
        cfg["task"],
        net=build_net(cfg),
        classes=cfg["dataset"].get("classes", cfg["dataset"].get("way")),
        anneal=build(cfg["anneal"]),
        optimizer=build(cfg["optimizer"]),
        scheduler=build(cfg["scheduler"]),
        seed=cfg["seed"],
        eval_draws=cfg["binary"]["eval_draws"],
    )
    task.config = cfg  # not through Hydra, which would build every _target_ in it
    return task


def restored(cfg: Config, state: dict[str, Tensor]) -> tuple[Learning, Any]:
    """The task with the weights and slopes of a checkpoint, and its data, of which nothing is read yet.

    Raises:
        ConfigError: they are those of another net.
    """
    with shown_warnings():
        task = build_task(cfg)
    load_weights(task, state)
    return task, build_data(cfg)


def packable(cfg: Config, net: nn.Module, data: Any) -> tuple[nn.Module, tuple[int, int, int], float, float]:
    """What `binlit.conversion.convert` takes: a trained net, the shape of its images, and their mean and deviation."""
    side = image_size(cfg["dataset"])
    return net, (channels(cfg["dataset"]), side, side), data.mean, data.std


def build_trainer(cfg: Config, folder: Path, quiet: bool, watchers: Iterable[pl.Callback] = ()) -> pl.Trainer:
    """The trainer, writing into `folder`; `quiet` leaves the progress bar out.

    Args:
        watchers: callbacks beside those of the config, called before them.

    Raises:
        ConfigError: a setting is refused, or the precision is none of the processor's.
    """
    callbacks = list(watchers)
    for node in cfg["callbacks"].values():
        if node:
            where = {"dirpath": str(folder / "checkpoints")} if node["_target_"].endswith("ModelCheckpoint") else {}
            callbacks.append(build({**where, **node}, without=()))
    bar = cfg["trainer"].get("enable_progress_bar", True) and not quiet
    loggers = [build({"save_dir": str(folder), **node}, without=()) for node in cfg["logger"].values() if node]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*AMP with fp16 is not supported on CPU.*")  # refused below
        trainer = build(
            {**cfg["trainer"], "enable_progress_bar": bar},
            callbacks=[*([ProgressBar(refresh_rate=20)] if bar else []), *callbacks],
            logger=loggers or False,
            default_root_dir=str(folder),
        )
    if cfg["trainer"].get("precision") == "16-mixed" and isinstance(trainer.accelerator, CPUAccelerator):
        raise ConfigError("trainer.precision=16-mixed needs a GPU, and this runs on the CPU; write bf16-mixed")
    trainer.strategy.checkpoint_io = WholeFiles()
    return trainer


def best_checkpoint(trainer: pl.Trainer) -> str | None:
    """Path of the checkpoint with the best monitored value; None where none was kept (fast_dev_run, no validation)."""
    kept = [c.best_model_path for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor]
    return next((path for path in kept if path), None)


def set_threads(asked: int | str, before: int | None = None) -> None:
    """Sets torch's threads, of which the last digits of a result depend; says so where a run goes on with others.

    Args:
        asked: a number; or `auto`: as many as before, else OMP_NUM_THREADS (which launchers set for jobs side by side),
            else as many as the process may use cores.
        before: how many threads a run had up to where it goes on from.
    """
    cores = len(os.sched_getaffinity(0))
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    usual = int(given) if given.isdecimal() and int(given) > 0 else cores
    threads = int(asked) if asked != "auto" else before if before and before <= cores else usual
    if before and threads != before:
        complain(
            f"goes on with {threads} thread(s), where it had {before}: its figures may differ in the last digits from "
            "those of a run that was never stopped"
        )
    torch.set_num_threads(threads)
