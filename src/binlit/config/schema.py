"""The keys of a run that belong to no option of a group, and which values they take. Nothing here imports torch.

Which keys an option has, and which values they take, its YAML states (see `binlit.catalogue`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from binlit.catalogue.schema import Draws, Place, Seed

EvalDraws = Annotated[int, Field(ge=1, le=10_000)]
Threads = Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]
RowValue = str | int | float | bool | None | list[str | int | float | bool | None]
ROW_KEYS = (  # columns that every table has
    "layer", "mode", "estimator", "anneal", "weights", "weight", "share", "seed", "setting", "n", "acc", "loss",
    "failed", "missing",
)  # fmt: skip


def _free(key: str) -> str:
    if key in ROW_KEYS or not key:
        raise ValueError(f"row.{key} is a column that the table has anyhow; give it another name")
    return key


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
    eval_draws: EvalDraws = 1


# -- the whole run -----------------------------------------------------------------------------------------------------
class Run(BaseModel):
    """The top level. The option of each group is checked by itself."""

    model_config = ConfigDict(extra="forbid", strict=True)
    tables: ClassVar[tuple[str, ...]] = ("callbacks", "logger", "row")  # fields whose keys are anybody's
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=100)]
    seed: Seed
    threads: Threads
    output_dir: Place
    data_dir: Place
    resume: bool
    ckpt_path: Place | None
    passes: Draws | Annotated[list[Draws], Field(min_length=1)] | None = None
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
    own: dict[str, dict[str, Any]] = {}  # what options of the user's own state of themselves, by group
