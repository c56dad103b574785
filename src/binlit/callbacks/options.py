"""What may be asked of callbacks and loggers: those of binlit and of checkpoints key by key, others by their class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from binlit.config.option import Count, Draws
from binlit.config.read import Config, keeps_checkpoints

METRICS = ("val/loss", "val/acc", "train/loss", "train/acc")
LAST = "last"


def _inside(value: Any) -> Any:
    if isinstance(value, str) and (value.startswith(("/", "~")) or ".." in value.split("/")):
        raise ValueError("it leaves the run's folder; give a plain name")
    return value


Inside = Annotated[str, AfterValidator(_inside)]


class Part(BaseModel):
    """A callback or logger of whatever class, which checks its own keys when it is built."""

    model_config = ConfigDict(extra="allow", strict=True, populate_by_name=True)
    target: Annotated[str, Field(alias="_target_", pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]
    filename: Inside | None = None
    name: Inside | None = None
    version: Inside | int | None = None
    prefix: Inside | None = None
    sub_dir: Inside | None = None


class Checkpoint(Part):
    """pytorch_lightning.callbacks.ModelCheckpoint."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)
    dirpath: None = None  # the run's folder, where resuming and evaluating look
    monitor: str | None = None
    mode: Literal["min", "max"] = "min"
    verbose: bool = False
    save_last: bool | Literal["link"] | None = None
    save_top_k: Annotated[int, Field(ge=-1, le=100_000)] = 1
    save_weights_only: bool = False
    auto_insert_metric_name: bool = True
    every_n_epochs: Count | None = None
    every_n_train_steps: Count | None = None
    train_time_interval: dict[str, Any] | None = None
    save_on_exception: bool = False
    save_on_train_epoch_end: bool | None = None
    enable_version_counter: bool = True


class Watcher(Part):
    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)
    every: Count = 1


class Monitor(Watcher):
    examples: Annotated[int, Field(ge=1, le=10_000)] = 1


class Probe(Monitor):
    draws: Draws = 1
    reference: Annotated[int, Field(ge=1, le=10_000)] = 1


PARTS: dict[str, type[Part]] = {
    "pytorch_lightning.callbacks.ModelCheckpoint": Checkpoint,
    "lightning.pytorch.callbacks.ModelCheckpoint": Checkpoint,
    "binlit.task.SiteMonitor": Monitor,
    "binlit.task.WeightMonitor": Watcher,
    "binlit.task.GradientProbe": Probe,
}


def without_idle(callbacks: Config) -> Config:
    """The callbacks, `best` off where it monitors nothing: `last` alone keeps the last epoch then."""
    best = callbacks.get("best")
    idle = isinstance(best, dict) and keeps_checkpoints(best) and best.get("monitor") is None
    return callbacks | {"best": None} if idle else callbacks


def unfit_checkpoints(cfg: Config) -> Iterable[str]:
    """Callbacks by which a run could not be gone on from, tested, or told apart."""
    kept = {name: node for name, node in cfg["callbacks"].items() if keeps_checkpoints(node)}
    files: dict[str, str] = {}
    keys: dict[tuple[Any, ...], str] = {}
    for name, node in kept.items():
        file = str(node.get("filename") or name)
        if node.get("monitor") and not node.get("filename"):
            yield f"callbacks.{name}.filename is empty, and the tested file needs a name; give one, such as {name}"
        if node.get("monitor") and ("{" in file or "/" in file):
            yield f"callbacks.{name}.filename={file} is not known before the run; give a plain name, such as best"
        if file in files:
            yield f"callbacks.{name} and callbacks.{files[file]} write the same file, {file}.ckpt; give other filenames"
        key = tuple(node.get(k) for k in ("monitor", "mode", "every_n_epochs", "every_n_train_steps"))
        if key in keys:  # Lightning tells their states apart by these
            yield (
                f"callbacks.{name} and callbacks.{keys[key]} keep the same epochs, by monitor={node.get('monitor')}; "
                f"give callbacks.{name} another monitor or every_n_epochs, or leave it out"
            )
        files[file], keys[key] = name, name
    if cfg["resume"] and not cfg["trainer"].get("fast_dev_run") and not any(map(_goes_on, kept.values())):
        yield (
            f"callbacks.{LAST} does not keep the whole of each last epoch as {LAST}.ckpt, so a run that is cut off "
            "could not be gone on from; leave it as it is, or add resume=false"
        )


def _goes_on(node: Config) -> bool:
    """Whether a callback keeps the whole state of each last epoch in the file that a run goes on from."""
    plain = not node.get("monitor") and not node.get("save_weights_only") and node.get("save_top_k", 1) == 1
    each = node.get("every_n_epochs") in (None, 1) and not (
        node.get("every_n_train_steps") or node.get("train_time_interval")
    )
    return plain and each and node.get("filename") == LAST and node.get("enable_version_counter") is False


def part_of(node: Config) -> type[Part]:
    """The schema of a callback or logger, by its class."""
    return PARTS.get(str(node.get("_target_")), Part)
