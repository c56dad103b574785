"""What a run says of itself: its outcome for the record, the lines at its end, TensorBoard's HParams."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from rich.console import Console
from rich.table import Table
from torch import Tensor

from binlit.binary import SiteWarning
from binlit.catalogue import Config
from binlit.config import row_of
from binlit.errors import complain
from binlit.results.record import Record, finite, site_figures
from binlit.results.setting import in_words
from binlit.results.text import with_interval


def outcome(
    curve: list[dict[str, float]], tested: Mapping[str, Tensor], count: int, epoch: int | None
) -> dict[str, Any]:
    """What the record holds: metrics, best epoch, duration in s, training samples/s, and the curve.

    Args:
        curve: one entry an epoch.
        tested: what the test logged.
        count: how many examples were tested.
        epoch: the epoch whose weights were tested, from 1; None for the last one.
    """
    metrics = {name: float(value) for name, value in tested.items() if name.startswith("test/")}
    best = next((entry for entry in curve if entry["epoch"] == epoch), None)
    if best:
        metrics |= {name: best[name] for name in ("val/acc", "val/loss") if name in best}
    seconds = sum(entry["train_seconds"] for entry in curve)
    return {
        "metrics": {name: finite(value) for name, value in metrics.items()} | {"test/n": count},
        "best_epoch": epoch,
        "duration": sum(entry["seconds"] for entry in curve),
        "samples_per_s": sum(entry["examples"] for entry in curve) / seconds if seconds else 0.0,
        "curve": [{name: finite(value) for name, value in entry.items()} for entry in curve],
    }


def announce(record: Record, folder: Path, note: str, sites: bool, setting: Mapping[str, Any] | None = None) -> None:
    """The run's result in a line; with `sites`, what each binary site did in the last epoch, 0 gradients in red.

    `setting` is what tells the run from others beside its row and seed.
    """
    console, metrics = Console(highlight=False), record["metrics"]
    row = " ".join(str(value) for key, value in record["row"].items() if value != "none" or key == "layer")
    row += f", {in_words(setting)}" if setting else ""
    chosen = f"best epoch {record['best_epoch']}" if record["best_epoch"] else "last epoch"
    console.print(
        f"layer {row}, seed {record['seed']}: [bold]{tested_text(metrics)}[/], "
        f"{chosen} of {len(record['curve'])} ({note})",
        soft_wrap=True,
    )
    figures = site_figures(record["curve"][-1]) if record["curve"] else {}
    dead = [site for site, values in figures.items() if values.get("grad_below") == 0]
    weights = site_figures(record["curve"][-1], "weight") if record["curve"] else {}
    dead += [layer for layer, values in weights.items() if values.get("grad") == 0]
    if sites:
        if figures:
            console.print(site_table(figures))
        if weights:
            console.print(weight_table(weights))
        console.print(f"record: {folder / 'result.json'}", soft_wrap=True)
    for site in dead:
        console.print(
            f"[bold red]no gradient passes below {site}: the layers below it learn nothing[/]"
            if site in figures
            else f"[bold red]no gradient arrives at the binary weight of {site}: it learns nothing[/]",
            soft_wrap=True,
        )


def tested_text(metrics: Mapping[str, Any]) -> str:
    """Accuracy and loss in words; of episodes each kind, with the half-width of its 95 % interval over episodes."""
    loss = "nan" if metrics["test/loss"] is None else f"{metrics['test/loss']:.4f}"
    said = f"test accuracy {100 * metrics['test/acc']:.2f} %, loss {loss}"
    each = []
    for kind in (name.removeprefix("test/acc_") for name in metrics if name.startswith("test/acc_")):
        half = metrics.get(f"test/ci95_{kind}")
        half = math.nan if half is None else half
        each.append(f"{kind} {with_interval(100 * metrics[f'test/acc_{kind}'], 100 * half, 2)}")
    return said + (f" ({', '.join(each)})" if each else "")


def site_table(figures: dict[str, dict[str, float]]) -> Table:
    """One row a site; a gradient of 0 below it is red."""
    table = Table(title="binary sites, last epoch")
    for heading in ("site", "slope", "ones", "flat", "flips", "gradient below"):
        table.add_column(heading, justify="left" if heading == "site" else "right")
    for site, values in figures.items():
        shares = [f"{100 * values[key]:.1f} %" if key in values else "–" for key in ("ones", "flat", "flips")]
        table.add_row(site, f"{values['slope']:.3g}", *shares, _gradient(values["grad_below"]))
    return table


def weight_table(figures: dict[str, dict[str, float]]) -> Table:
    """One row a layer with binary weights; a gradient of 0 is red."""
    table = Table(title="binary weights, last epoch")
    for heading in ("layer", "flips", "at the clip", "gradient"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    for layer, values in figures.items():
        shares = f"{100 * values['flips']:.2f} %", f"{100 * values['ends']:.1f} %"
        table.add_row(layer, *shares, _gradient(values["grad"]))
    return table


def _gradient(norm: float | None) -> str:
    return "[bold red]0[/]" if norm == 0 else f"{norm:.2e}" if norm is not None else "nan"


def fill_hparams(trainer: pl.Trainer, cfg: Config, metrics: dict[str, Any], setting: Mapping[str, Any]) -> None:
    """TensorBoard's HParams tab: the row, the seed, the recipe and what else was set, with the final metrics."""
    params = {**row_of(cfg), "seed": cfg["seed"], "dataset": cfg["dataset"]["name"], "model": cfg["model"]["name"]}
    params |= {f"optimizer.{key}": value for key, value in cfg["optimizer"].items() if key in ("name", "lr")}
    params |= {"epochs": cfg["trainer"]["max_epochs"], "batch_size": cfg["dataset"]["batch_size"]}
    params |= setting
    final = {f"final/{name}": value for name, value in metrics.items() if value is not None and name != "test/n"}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(
                {key: str(value) if isinstance(value, list) else value for key, value in params.items()}, final
            )
            logger.finalize("success")


@contextlib.contextmanager
def shown_warnings() -> Iterator[None]:
    """Shows binlit's own warnings as one line on standard error, and lets the others be."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SiteWarning)
        yield
    for warning in caught:
        if issubclass(warning.category, SiteWarning):
            complain(f"warning: {warning.message}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def quiet_lightning() -> None:
    """Leaves Lightning's tips out, and the warnings that do not apply here."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # data is in memory: none are needed
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")  # going on into the same folder is meant
    warnings.filterwarnings("ignore", message=".*dirpath has changed.*")  # binlit.running.checkpoint saw to it
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")  # Lightning 2.6 under torch 2.15
    warnings.filterwarnings("ignore", message=".*number of training batches.*is smaller than the logging interval.*")
