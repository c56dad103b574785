"""Settings of callbacks and loggers: those of binlit and of checkpoints key by key, others by their class."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from binlit.catalogue import Config
from binlit.catalogue.schema import Count, Draws

METRICS = ("val/loss", "val/acc", "train/loss", "train/acc")
LAST = "last"
PROBE = "binlit.callbacks.GradientProbe"


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
    "binlit.callbacks.SiteMonitor": Monitor,
    "binlit.callbacks.WeightMonitor": Watcher,
    PROBE: Probe,
}


def chosen_by(cfg: Config) -> str | None:
    """The validation metric by which the tested epoch is chosen; None where the last one is tested."""
    chooser = _chooser(cfg)
    return chooser["monitor"] if chooser else None


def chosen_towards(cfg: Config) -> str:
    """Whether the tested epoch has the smallest (`min`) or largest (`max`) of what it is chosen by."""
    chooser = _chooser(cfg)
    return chooser.get("mode", "min") if chooser else "min"


def keeps_checkpoints(callback: Config | None) -> bool:
    """Whether a callback keeps checkpoints; others may have a `monitor` too (EarlyStopping)."""
    return callback is not None and str(callback.get("_target_")).endswith(".ModelCheckpoint")


def only_watches(callback: Config) -> bool:
    """Whether a callback is one of binlit's that change nothing of what is learned."""
    return issubclass(part_of(callback), Watcher)


def tested_checkpoint(cfg: Config) -> str:
    """Name of the file that holds the tested epoch, in the run's `checkpoints`."""
    chooser = _chooser(cfg)
    return f"{chooser.get('filename') or 'best'}.ckpt" if chooser else "last.ckpt"


def _chooser(cfg: Config) -> Config | None:
    """The callback that chooses the tested epoch; None where the last one is tested."""
    kept = (node for node in cfg["callbacks"].values() if keeps_checkpoints(node))
    return next((node for node in kept if node.get("monitor")), None)


def without_idle(callbacks: Config) -> Config:
    """The callbacks, `best` off where it monitors nothing: `last` alone keeps the last epoch then."""
    best = callbacks.get("best")
    idle = isinstance(best, dict) and keeps_checkpoints(best) and best.get("monitor") is None
    return callbacks | {"best": None} if idle else callbacks


def part_of(node: Config) -> type[Part]:
    """The schema of a callback or logger, by its class."""
    return PARTS.get(str(node.get("_target_")), Part)
