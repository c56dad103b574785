"""Trains and tests one net, or with -m a whole table.

python -m binlit.train                                                one run on the embedded digits
python -m binlit.train +experiment=mnist binary.layer=2               one run, another site
python -m binlit.train -m +experiment=mnist_table                     a whole table
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from binlit.catalogue import Config
from binlit.command.entry import USAGE_ERROR, run_hydra
from binlit.config import check, fingerprint
from binlit.errors import ConfigError, complain
from binlit.results.folder import locked, set_aside
from binlit.results.reading import Record
from binlit.results.record import finished, new_record, read_record, write_record
from binlit.results.setting import setting_of
from binlit.running.quick_import import load_libraries
from binlit.stopping import Stopped, end_with_parent, stopped_behind, stopped_by_signals


def main() -> None:
    # Huge pages for large tensors on the CPU (torch's own switch, read at its first allocation): a step of a net with
    # 37 million weights takes three quarters of the time, small nets are as they were.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    with stopped_by_signals():
        run_hydra(job)


def job(cfg: DictConfig) -> float | None:
    """One run of a command line; returns the test accuracy (what an Optuna sweep maximises)."""
    end_with_parent()
    try:
        return recorded(cfg)["metrics"].get("test/acc")
    except Exception as error:
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            end_with_a_line(error, Path(HydraConfig.get().runtime.output_dir))
        raise


def recorded(cfg: DictConfig, quiet: bool = False) -> Record:
    """One run in the folder that Hydra made for it, from its config to its record there.

    Args:
        cfg: as Hydra composed it.
        quiet: prints nothing but what a user must know.

    Raises:
        ConfigError, DataError, DivergenceError, OSError: the run cannot begin or go on. The folder says so where it
            had begun.
        Stopped: a signal said so.
    """
    config, launched = check(cfg), HydraConfig.get()
    folder = Path(launched.runtime.output_dir)
    in_sweep = launched.mode == RunMode.MULTIRUN
    setting = setting_of(config, launched.overrides.task, Path(launched.sweep.dir) if in_sweep else None)
    with locked(folder):
        if not config["resume"]:
            set_aside(folder)
        record = finished(folder, fingerprint(config))
        if record is None:
            try:
                record = new_record(config, "ok", **train(config, folder, in_sweep or quiet, setting))
                write_record(folder, record)
            except Stopped as stopped:
                stopped.where += f" of {folder.name}" if in_sweep else ""
                raise
            except Exception as error:
                record_failure(config, folder, error, in_sweep)
                raise
            note = f"{record['duration']:.0f} s, {record['samples_per_s']:.0f} samples/s"
        else:
            note = "done already; resume=false trains anew"
    gc.collect()  # in a sweep: the trainer's cycles would hold this job's data while the next one reads its own
    if not quiet:
        from binlit.running.announce import announce

        announce(record, folder, note, sites=not in_sweep, setting=setting)
    return record


def train(cfg: Config, folder: Path, quiet: bool = False, setting: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Fits, tests the best epoch (with `callbacks.best=null` the last), and returns what the record holds of it.

    Args:
        cfg: a checked config.
        folder: where checkpoints and logs land; a checkpoint that is there already is gone on from.
        quiet: without the progress bar and the table of layers, as one of many jobs.
        setting: {setting: value}, of those that tell this run from others, for TensorBoard.

    Raises:
        ConfigError, DataError: before training, where something cannot be used or does not fit.
        DivergenceError: the loss or the weights are not finite, or the loss is beyond any.
        Stopped: a signal said so; with where that was.
    """
    begun = (folder / "checkpoints" / "last.ckpt").is_file()  # then nothing more is taken from elsewhere
    if cfg["ckpt_path"] is not None and not begun and not Path(cfg["ckpt_path"]).is_file():
        raise ConfigError(f"ckpt_path={cfg['ckpt_path']} is no file; give a run's checkpoints/last.ckpt")
    # Heavy imports come late, so that --help and a config error answer at once.
    load_libraries()
    from binlit.binary.inventory import inventory, show_inventory
    from binlit.running.announce import quiet_lightning, shown_warnings
    from binlit.running.build import build_data, build_task, build_trainer, example_images, set_threads
    from binlit.running.companions import companions_of
    from binlit.running.start import starting_point
    from binlit.running.tested import final_test
    from binlit.running.train_companions import Companions

    quiet_lightning()
    start = starting_point(cfg, folder)
    set_threads(cfg["threads"], start.threads)
    data = build_data(cfg)
    with shown_warnings():
        task = build_task(cfg)
    with companions_of(cfg, folder) as companions:
        watchers = [Companions(companions)] if companions else []
        trainer = build_trainer(cfg, folder, quiet, watchers)
        checkpoint = start.prepare(cfg, task, folder)
        layers = inventory(task.net, example_images(cfg))
        if not quiet:
            show_inventory(layers, cfg["model"]["name"], task.net)
        data.setup("fit")
        with located(trainer):
            trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            content = final_test(trainer, task, data, layers, cfg, setting or {})
            for watcher in watchers:
                watcher.conclude(task, data, layers, folder)
    return content


@contextlib.contextmanager
def located(trainer: Any) -> Iterator[None]:
    """Tells a run that is stopped where it stands; Lightning's own way to stop at SIGTERM ends with status 143 too."""
    from pytorch_lightning.utilities.exceptions import SIGTERMException

    try:
        yield
    except BaseException as error:
        stopped = stopped_behind(error) or (Stopped(signal.SIGTERM) if isinstance(error, SIGTERMException) else None)
        if stopped is None:
            raise
        epoch = f" in epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
        stopped.where = epoch if trainer.state.fn == "fit" else " while testing"
        raise stopped from None


def record_failure(cfg: Config, folder: Path, error: Exception, in_sweep: bool) -> None:
    """Leaves a failed record and the traceback in the folder; of a job of a sweep says why in a line.

    A single run that was refused before it began leaves neither.
    """
    if isinstance(error, ConfigError) and not in_sweep:
        return
    from binlit.task.learning import DivergenceError

    with contextlib.suppress(OSError):  # the disk may be full
        earlier = read_record(folder)
        if not (earlier and earlier["status"] == "ok"):  # a failure never overwrites a good record, of whatever run
            kind = "" if isinstance(error, DivergenceError) else f"{type(error).__name__}: "
            write_record(folder, new_record(cfg, "failed", error=f"{kind}{error}", metrics={}))
        (folder / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
    if in_sweep:
        complain(f"{folder.name}: {in_a_line(error, folder)}")


def end_with_a_line(error: Exception, folder: Path) -> None:
    """Ends the process of a single run with what a user can mend or must know; other errors are left to be raised.

    Raises:
        SystemExit: status 2 for what was wrong with the run's input, 1 where it diverged or could not write.
    """
    from binlit.dataset.errors import DataError

    if isinstance(error, ConfigError | DataError):
        complain(error)
        raise SystemExit(USAGE_ERROR) from None
    from binlit.task.learning import DivergenceError

    if isinstance(error, DivergenceError | OSError):
        complain(in_a_line(error, folder))
        raise SystemExit(1) from None


def in_a_line(error: Exception, folder: Path) -> str:
    """What is wrong, and where the system refused something."""
    return f"cannot go on in {folder}: {error}" if isinstance(error, OSError) else str(error)


if __name__ == "__main__":
    from binlit.train import main as imported  # so that launchers send the job to their workers by name

    imported()
