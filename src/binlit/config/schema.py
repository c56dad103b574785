"""The typed schema of a run: which keys there are, and which values they take. Nothing here imports torch.

One class for each option that has keys of its own. An option whose `name` is not listed here (a user's own class) keeps
its keys unchecked, and its class refuses what it does not know when it is built.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from binlit.config.dataset_options import DATASETS
from binlit.config.estimator_options import ESTIMATORS
from binlit.config.model_options import MODELS
from binlit.config.option import Count, Option, Positive, Share

Limit = Count | Annotated[float, Field(gt=0, le=1)] | None  # batches, or a share of them


# -- binary ------------------------------------------------------------------------------------------------------------
class Binary(BaseModel):
    """Where the net is binary, and how the bit is made and tested."""

    model_config = ConfigDict(extra="forbid", strict=True)
    layer: int | str | list[int | str] | None
    weights: int | str | list[int | str] | None = None  # records from before it was there lack it
    mode: Literal["stochastic", "deterministic"]
    surrogate: Literal["hard_sigmoid", "hard_tanh", "logistic"]
    levels: Literal["01", "pm1"]
    threshold: float
    share: Annotated[float, Field(gt=0, le=1)] = 1.0  # of a site's channels; records from before it was there lack it
    eval: Literal["auto", "sample", "threshold", "mean"]
    eval_draws: Count


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
    rate: Positive


class Linear(Option):
    start: Positive
    per_epoch: Annotated[float, Field(ge=0)]
    maximum: Positive


class Cosine(Option):
    start: Positive
    end: Positive
    epochs: Count


class Step(Option):
    factor: Positive
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
    floor: Annotated[float, Field(gt=0, lt=1)] | None


class Optimizer(Option):
    partial: Literal[True] = Field(alias="_partial_")
    lr: Positive
    weight_decay: Annotated[float, Field(ge=0)]


class Sgd(Optimizer):
    momentum: Share
    nesterov: bool


class Adam(Optimizer):
    betas: Annotated[list[Share], Field(min_length=2, max_length=2)]
    eps: Positive
    fused: bool | None = None  # one pass over memory; torch decides where null


class Bop(Optimizer):
    betas: Annotated[list[Share], Field(min_length=2, max_length=2)]
    eps: Positive
    gamma: Annotated[float, Field(gt=0, le=1)]
    threshold: Annotated[float, Field(ge=0)]


class Scheduler(Option):
    partial: Literal[True] = Field(alias="_partial_")


class CosineLr(Scheduler):
    T_max: Count
    eta_min: Annotated[float, Field(ge=0)]


class StepLr(Scheduler):
    step_size: Count
    gamma: Positive


class ExponentialLr(Scheduler):
    gamma: Positive


class Trainer(Option):
    """Arguments of pytorch_lightning.Trainer; its others go through `+trainer.NAME=` of an own option."""

    max_epochs: Count
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Literal[1]  # a folder belongs to one process: see results.record.locked
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    gradient_clip_val: Positive | None
    limit_train_batches: Limit
    limit_val_batches: Limit
    limit_test_batches: Limit
    check_val_every_n_epoch: Count
    log_every_n_steps: Count
    num_sanity_val_steps: Annotated[int, Field(ge=0)]
    fast_dev_run: bool | Count
    deterministic: bool
    enable_progress_bar: bool
    enable_model_summary: bool
    inference_mode: bool


# -- the whole run -----------------------------------------------------------------------------------------------------
class Run(BaseModel):
    """The top level. Groups are checked one by one against `OPTIONS`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]+$")]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Count | Literal["auto"]
    output_dir: str
    data_dir: str
    resume: bool
    ckpt_path: str | None
    row: dict[str, Any]
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
