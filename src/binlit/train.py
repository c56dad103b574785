"""Trains and tests one net, or with -m a whole table.

python -m binlit.train                                                one run on the embedded digits
python -m binlit.train +experiment=mnist binary.layer=2               one run, another site
python -m binlit.train -m +experiment=mnist_table                     a whole table
"""

from __future__ import annotations

import gc
import os
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from binlit.cli import USAGE_ERROR, complain, run_hydra
from binlit.config import Config, ConfigError, check, check_classes, decisive, fingerprint, named_classes, own_classes
from binlit.libraries import load_libraries
from binlit.results.record import finished, locked, new_record, read_record, set_aside, write_record


def main() -> None:
    # Huge pages for large tensors on the CPU (torch's own switch, read at its first allocation): a step of a net with
    # 37 million weights takes three quarters of the time, small nets are as they were.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    run_hydra(job)


def job(cfg: DictConfig) -> float | None:
    """One run, from its config to its record; returns the test accuracy (what an Optuna sweep maximises)."""
    config, launched = check(cfg), HydraConfig.get()
    folder = Path(launched.runtime.output_dir)
    in_sweep = launched.mode == RunMode.MULTIRUN
    with locked(folder):
        if not config["resume"]:
            set_aside(folder)
        record = finished(folder, fingerprint(config))
        if record is None:
            try:
                record = new_record(config, "ok", **train(config, folder, in_sweep))
            except Exception as error:
                report_failure(config, folder, error, in_sweep)
                raise
            write_record(folder, record)
            note = f"{record['duration']:.0f} s, {record['samples_per_s']:.0f} samples/s"
        else:
            note = "done already; resume=false trains anew"
    gc.collect()  # in a sweep: the trainer's cycles would hold this job's data while the next one reads its own
    from binlit.results.summary import announce

    announce(record, folder, note, sites=not in_sweep)
    return record["metrics"].get("test/acc")


def train(cfg: Config, folder: Path, in_sweep: bool = False) -> dict[str, Any]:
    """Fits, tests the best epoch (with `callbacks.best=null` the last), and returns what the record holds of it.

    Args:
        cfg: a checked config.
        folder: where checkpoints and logs land; a checkpoint that is there already is gone on from.
        in_sweep: one of many jobs: one thread, no progress bar.
    """
    # Heavy imports come late, so that --help and a config error answer at once.
    load_libraries()
    from binlit.build import best_checkpoint, build_data, build_task, build_trainer, example_images, set_threads
    from binlit.results.checkpoint import epoch_of
    from binlit.results.inventory import as_record, inventory, show_inventory
    from binlit.results.summary import fill_hparams, outcome, quiet_lightning, shown_warnings

    quiet_lightning()
    set_threads(cfg["threads"], in_sweep)
    data = build_data(cfg)
    with shown_warnings():
        task = build_task(cfg)
    trainer = build_trainer(cfg, folder, quiet=in_sweep)
    layers = inventory(task.net, example_images(cfg))
    if not in_sweep:
        show_inventory(layers, cfg["model"]["name"], task.net)
    data.setup("fit")
    trainer.fit(task, datamodule=data, ckpt_path=starting_point(cfg, folder), weights_only=True)
    curve, best = task.history, best_checkpoint(trainer)
    trainer.test(task, datamodule=data, ckpt_path=best, weights_only=True, verbose=False)
    content = (
        task.tested
        | {"model": as_record(layers)}
        | outcome(curve, trainer.callback_metrics, task.examples["test"], epoch_of(best) if best else None)
    )
    fill_hparams(trainer, cfg, content["metrics"])
    return content


def starting_point(cfg: Config, folder: Path) -> Path | None:
    """The checkpoint to go on from: this run's own last one, else a copy of `ckpt_path`, else None.

    An own checkpoint that cannot be read (the machine went down while it was written) is set aside, saying so.

    Raises:
        ConfigError: ckpt_path cannot be gone on from, or the folder holds a run of another config.
    """
    from binlit.results.checkpoint import adopt, read_checkpoint

    last = folder / "checkpoints" / "last.ckpt"
    if last.is_file():
        try:
            saved = read_checkpoint(last)
        except ConfigError as error:
            complain(f"{error}; it is set aside, and the run starts anew")
            set_aside(folder)
        else:
            if without_length(saved["config"]) != without_length(cfg):
                raise ConfigError(f"{folder} holds a run of another config; choose another folder, or resume=false")
            return adopt(saved, last, folder / "checkpoints")
    if cfg["ckpt_path"] is None:
        return None
    given = Path(cfg["ckpt_path"])
    saved = read_checkpoint(given)
    check_classes(
        saved["config"], f"ckpt_path={given}", named_classes(cfg) | own_classes(), "train with an option that names it"
    )
    if len(saved["history"]) <= saved["epoch"]:
        raise ConfigError(f"ckpt_path={given} was saved within an epoch; give last.ckpt beside it")
    return adopt(saved, given, folder / "checkpoints")


def without_length(cfg: Config) -> Config:
    """What decides the outcome, less the number of epochs: a run may be made longer."""
    known = decisive(cfg)
    return known | {"ckpt_path": None, "trainer": known["trainer"] | {"max_epochs": None}}


def report_failure(cfg: Config, folder: Path, error: Exception, in_sweep: bool) -> None:
    """Leaves a failed record and the traceback in the folder; ends a single run whose input was wrong with status 2."""
    from binlit.dataset.errors import DataError

    earlier = read_record(folder)
    if not (earlier and earlier["status"] == "ok"):  # a failure never overwrites a good record, of whatever run
        write_record(folder, new_record(cfg, "failed", error=f"{type(error).__name__}: {error}", metrics={}))
    (folder / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
    if isinstance(error, ConfigError | DataError) or in_sweep:
        complain(f"{folder.name}: {error}" if in_sweep else error)
        if not in_sweep:
            raise SystemExit(USAGE_ERROR) from None


if __name__ == "__main__":
    from binlit.train import main as imported  # so that launchers send the job to their workers by name

    imported()
