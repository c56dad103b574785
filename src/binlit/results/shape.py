"""What a record must hold for a table to be made of it: the types of its parts, and a config that can be compared."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from binlit.callbacks.options import chosen_by
from binlit.config import decisive, fingerprint
from binlit.config.layers import chosen_weights
from binlit.config.outcome import VERSION, version_of
from binlit.config.versions import up_to_date

Figure = float | None
Accuracy = Annotated[float, Field(ge=0, le=1)]
EvalMode = Literal["auto", "sample", "threshold", "mean"]


class _Part(BaseModel):
    """What tables are made of; whatever else a record holds passes."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Row(_Part):
    layer: str
    mode: Literal["none", "stochastic", "deterministic"]
    estimator: str
    anneal: str
    threshold: float | None = None
    __pydantic_extra__: dict[str, str | float | bool | None]  # pyright: ignore[reportIncompatibleVariableOverride]


class _Named(_Part):
    name: str


class _Net(_Named):
    sites: list[str]


class _Length(_Part):
    max_epochs: int | None


class _RunConfig(_Part):
    seed: int
    dataset: _Named
    model: _Net
    binary: dict[str, Any]
    trainer: _Length
    callbacks: dict[str, dict[str, Any] | None]


class _Metrics(_Part):
    accuracy: Accuracy = Field(alias="test/acc")
    __pydantic_extra__: dict[str, Figure]  # pyright: ignore[reportIncompatibleVariableOverride]


class _RunMetrics(_Metrics):
    loss: Figure = Field(alias="test/loss")


class _Versions(_Part):
    torch: str


class _Hardware(_Part):
    gpu: str | None
    processor: str
    threads: int


class _Test(_Part):
    checkpoint: str
    eval: EvalMode
    eval_draws: int
    seed: int
    metrics: _Metrics
    weights: Literal["sample", "threshold", "latent"] | None = Field(None, alias="weight.eval")
    episodes: dict[str, int] | None = None
    counts: dict[str, list[int]] | None = None


class _Job(_Part):
    row: _Row
    seed: int
    fingerprint: str


class _Run(_Job):
    experiment: str
    finished: str
    config: _RunConfig


class _Failed(_Run):
    status: Literal["failed"]
    error: str


class _Done(_Run):
    status: Literal["ok"]
    metrics: _RunMetrics
    duration: float
    versions: _Versions
    hardware: _Hardware
    curve: list[dict[str, Figure]] = []
    episodes: dict[Annotated[str, Field(pattern=r"^\d+w\d+s$")], list[int]] | None = None
    evaluations: list[_Test] = []


class _Toys(_Part):
    steps: int
    copies: int


class _StudyConfig(_Part):
    draws: int
    examples: int
    seed: int
    toys: _Toys


class _Options(_Part):
    surrogate: str


class _Estimates(_Part):
    bias: Figure
    bias_error: Figure
    variance: Figure
    variance_at_equal_cost: Figure
    cosine: Figure
    cosine_one: Figure
    passes: int
    seconds: float
    __pydantic_extra__: dict[str, Figure]  # pyright: ignore[reportIncompatibleVariableOverride]


class _Probability(_Part):
    p: float


class _Study(_Part):
    estimator: str
    config: _StudyConfig
    versions: _Versions
    hardware: _Hardware


class _Measured(_Study):
    kind: Literal["enumeration"]
    units: list[int]
    steps: int
    options: _Options
    metrics: _Estimates
    layers: list[dict[str, Figure]]


class _Toy(_Study):
    kind: Literal["toy"]
    target: float
    stride: int
    curve: list[float]
    metrics: _Probability


RUN = TypeAdapter(Annotated[_Done | _Failed, Field(discriminator="status")])
STUDY = TypeAdapter(Annotated[_Measured | _Toy, Field(discriminator="kind")])
TEST, JOB = TypeAdapter(_Test), TypeAdapter(_Job)


class UnfitError(ValueError):
    """What was read is no whole record; the message says why, without the file's name."""


def fit(shape: TypeAdapter[Any], content: Any) -> Any:
    """`content`, where it holds what a table needs.

    Raises:
        UnfitError: something is missing or of another type; the message names the first such thing.
    """
    if shape is RUN and isinstance(content, dict) and "kind" in content:
        shape = STUDY
    try:
        shape.validate_python(content)
        if shape is RUN:
            content = _current(content)
            _compare(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("ok", "failed", "enumeration", "toy"))
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UnfitError(f"{where or 'its content'}: {message}; incomplete, or of another version") from error
    except UnfitError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UnfitError("its config is incomplete, or of another version") from error
    return content


def _current(record: dict[str, Any]) -> dict[str, Any]:
    """The record in this version's words.

    Raises:
        UnfitError: it was written by a later version.
    """
    version = version_of(record["fingerprint"])
    if version > VERSION:
        raise UnfitError("a later version of binlit wrote it")
    if version == VERSION:
        return record
    config = up_to_date(record["config"])
    return record | {"config": config, "fingerprint": fingerprint(config)}


def _compare(record: dict[str, Any]) -> None:
    """Goes through what tables read of a run beside its types; raises where it is not there."""
    config = record["config"]
    _ = decisive(config), chosen_by(config)
    if episodes := record.get("episodes"):
        data, part = config["dataset"], config["trainer"].get("limit_test_batches")
        whole = data.get("test_episodes") if part in (None, 1.0) else None
        if data["query"] < 1 or (whole and {len(counts) for counts in episodes.values()} != {whole}):
            raise ValueError("episodes are missing")
    if record.get("evaluations"):
        _ = config["binary"]["eval"], chosen_weights(config) and config["weight"]["eval"]
    for entry in record.get("curve", ()):
        if any(name.startswith(("site/", "weight/")) and name.count("/") != 2 for name in entry):  # site/1/ones
            raise ValueError("a figure of no site")
