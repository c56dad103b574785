"""The typed schema of a run: which keys there are, and which values they take. Nothing here imports torch.

One class for each option that has keys of its own. An option whose `name` is not listed here (a user's own class) keeps
its keys unchecked, and its class refuses what it does not know when it is built.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from binlit.config.dataset_options import DATASETS
from binlit.config.estimator_options import ESTIMATORS
from binlit.config.model_options import MODELS
from binlit.config.option import Count, Epsilon, Option, Place, Positive, Rate, Seed, Share

Limit = Count | Annotated[float, Field(gt=0, le=1)] | None  # batches, or a share of them
EvalDraws = Annotated[int, Field(ge=1, le=10_000)]
Threads = Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]
Factor = Annotated[float, Field(ge=1e-6, le=1_000)]  # of a learning rate, from one epoch to the next
RowValue = str | int | float | bool | None | list[str | int | float | bool | None]
ROW_KEYS = (  # columns of the table that are filled without being asked
    "layer", "mode", "estimator", "anneal", "weights", "weight", "share", "seed", "setting", "n", "acc", "loss",
    "failed", "missing",
)  # fmt: skip


def _free(key: str) -> str:
    if key in ROW_KEYS or not key:
        raise ValueError(f"row.{key} is a column that the table has anyhow; give it another name")
    return key


def _written_as_float(values: Any) -> Any:
    if isinstance(values, list) and any(type(value) is int for value in values):  # torch refuses integers
        raise ValueError(f"write them with a point, {[float(value) for value in values]}")
    return values


Betas = Annotated[
    list[Annotated[float, Field(ge=0, le=0.999999)]],
    Field(min_length=2, max_length=2),
    BeforeValidator(_written_as_float),
]


# -- binary ------------------------------------------------------------------------------------------------------------
class Binary(BaseModel):
    """Where the net is binary, and how the bit is made and tested."""

    model_config = ConfigDict(extra="forbid", strict=True)
    layer: int | str | list[int | str] | None
    weights: int | str | list[int | str] | None = None  # records from before it was there lack it
    mode: Literal["stochastic", "deterministic"]
    surrogate: Literal["hard_sigmoid", "hard_tanh", "logistic"]
    levels: Literal["01", "pm1"]
    threshold: Annotated[float, Field(ge=-1_000, le=1_000)]
    share: Annotated[float, Field(gt=0, le=1)] = 1.0  # of a site's channels; records from before it was there lack it
    eval: Literal["auto", "sample", "threshold", "mean"]
    eval_draws: EvalDraws


class Weight(Option):
    """How a binary weight is made of its latent one; `estimator` is one of the options of that group."""

    mode: Literal["stochastic", "deterministic"]
    surrogate: Literal["hard_sigmoid", "hard_tanh", "logistic"]
    scale: Literal["none", "xnor", "learned"]
    clip: Literal["none", "weight", "weight_and_bias"]
    rate: Literal["none", "glorot"]
    init: Literal["model", "uniform"]
    eval: Literal["threshold", "sample", "latent"]
    estimator: dict[str, Any]


# -- anneal ------------------------------------------------------------------------------------------------------------
class Constant(Option):
    value: Positive


class Exponential(Option):
    rate: Annotated[float, Field(ge=0.1, le=10)]


class Linear(Option):
    start: Positive
    per_epoch: Annotated[float, Field(ge=0, le=100)]
    maximum: Positive


class Cosine(Option):
    start: Positive
    end: Positive
    epochs: Count


class Step(Option):
    factor: Annotated[float, Field(ge=0.01, le=100)]
    every: Count


# -- task, optimizer, scheduler, trainer -------------------------------------------------------------------------------
class Task(Option):
    channels_last: bool


class Classification(Task):
    loss: Literal["cross_entropy", "squared_hinge"] = "cross_entropy"


class FewShot(Task):
    head: Literal["matching", "prototypical"]
    distance: Literal["squared_l2", "cosine"]
    scale: Positive | None = None
    floor: Annotated[float, Field(ge=1e-30, le=0.1)] | None


class Optimizer(Option):
    partial: Literal[True] = Field(alias="_partial_")
    lr: Rate
    weight_decay: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _weights_remain(self) -> Optimizer:
        if self.lr * self.weight_decay > 0.1:
            raise ValueError(
                f"optimizer.lr={self.lr} with optimizer.weight_decay={self.weight_decay} takes away "
                f"{self.lr * self.weight_decay:.0%} of each weight at every step; give smaller ones"
            )
        return self


class Sgd(Optimizer):
    momentum: Share
    nesterov: bool

    @model_validator(mode="after")
    def _something_to_look_ahead_with(self) -> Sgd:
        if self.nesterov and not self.momentum:
            raise ValueError(
                f"optimizer.nesterov=true needs momentum, and optimizer.momentum={self.momentum}; write 0.9"
            )
        return self


class Adam(Optimizer):
    betas: Betas
    eps: Epsilon
    fused: bool | None = None  # one pass over memory; torch decides where null


class Bop(Optimizer):
    betas: Betas
    eps: Epsilon
    gamma: Annotated[float, Field(ge=1e-8, le=1)]
    threshold: Annotated[float, Field(ge=0, le=0.01)]  # averaged gradients are far smaller


class Scheduler(Option):
    partial: Literal[True] = Field(alias="_partial_")


class CosineLr(Scheduler):
    T_max: Count
    eta_min: Annotated[float, Field(ge=0, le=10)]


class StepLr(Scheduler):
    step_size: Count
    gamma: Factor


class ExponentialLr(Scheduler):
    gamma: Factor


class Trainer(Option):
    """Arguments of pytorch_lightning.Trainer; its others go through `+trainer.NAME=` of an own option."""

    max_epochs: Count
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Literal[1]  # a folder belongs to one process: see results.record.locked
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    gradient_clip_val: Annotated[float, Field(ge=1e-4, le=1e6)] | None
    limit_train_batches: Limit
    limit_val_batches: Limit
    limit_test_batches: Limit
    check_val_every_n_epoch: Count
    log_every_n_steps: Count
    num_sanity_val_steps: Annotated[int, Field(ge=0, le=100_000)]
    fast_dev_run: bool | Count
    deterministic: bool
    enable_progress_bar: bool
    enable_model_summary: bool
    inference_mode: bool


# -- the whole run -----------------------------------------------------------------------------------------------------
class Run(BaseModel):
    """The top level. Groups are checked one by one against `OPTIONS`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=100)]
    seed: Seed
    threads: Threads
    output_dir: Place
    data_dir: Place
    resume: bool
    ckpt_path: Place | None
    row: dict[Annotated[str, AfterValidator(_free)], RowValue]
    dataset: dict[str, Any]
    model: dict[str, Any]
    binary: Binary
    weight: dict[str, Any] | None = None
    estimator: dict[str, Any]
    anneal: dict[str, Any]
    task: dict[str, Any]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    trainer: dict[str, Any]
    callbacks: dict[str, dict[str, Any] | None]
    logger: dict[str, dict[str, Any] | None]


OPTIONS: dict[str, dict[str, type[Option]]] = {
    "dataset": DATASETS,
    "model": MODELS,
    "weight": dict.fromkeys(("bnn", "binaryconnect", "xnor"), Weight),
    "estimator": ESTIMATORS,
    "anneal": {
        "none": Option,
        "constant": Constant,
        "exponential": Exponential,
        "linear": Linear,
        "cosine": Cosine,
        "step": Step,
    },
    "task": {"classification": Classification, "few_shot": FewShot},
    "optimizer": {"sgd": Sgd, "adam": Adam, "adamw": Adam, "bop": Bop},
    "scheduler": {"none": Option, "cosine": CosineLr, "step": StepLr, "exponential": ExponentialLr},
    "trainer": {"default": Trainer},
}
