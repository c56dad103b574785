"""The typed schema of a run: which keys there are, and which values they take. Nothing here imports torch.

One class for each option that has keys of its own. An option whose `name` is not listed here (a user's own class) keeps
its keys unchecked, and its class refuses what it does not know when it is built.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator


def _distinct(values: list[int]) -> list[int]:
    if len(set(values)) != len(values):
        raise ValueError(f"dataset.rotations={values} names an angle twice")
    return values


Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Activation = Literal["hard_sigmoid", "hard_tanh", "relu"]
RepeatAt = Literal["site", "input"]
Way = Annotated[int, Field(ge=2)]
OmniglotSize = Annotated[int, Field(ge=16, le=105)]
Ink = Literal["light", "dark"]
Rotations = Annotated[list[Literal[0, 90, 180, 270]], Field(min_length=1, max_length=4), AfterValidator(_distinct)]
Limit = Count | Annotated[float, Field(gt=0, le=1)] | None  # batches, or a share of them


class Option(BaseModel):
    """A group option: `name` is the file's name, `_target_` the class that it builds (None: nothing is built)."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)
    name: str
    target: str | None = Field(alias="_target_")


class OwnOption(Option):
    """An option that is not binlit's: its class checks its keys."""

    model_config = ConfigDict(extra="allow", strict=True)


# -- dataset -----------------------------------------------------------------------------------------------------------
class Dataset(Option):
    classes: Annotated[int, Field(ge=2)]
    batch_size: Count
    eval_batch_size: Count
    seed: Annotated[int, Field(ge=0)]


class IdxDataset(Dataset):
    data_dir: str
    download: bool
    validation: Count
    image_size: Literal[28, 32] = 28


class ColourDataset(Dataset):
    data_dir: str
    download: bool
    validation: Count
    channels: Literal[3]
    image_size: Literal[32]


class Digits(Dataset):
    image_size: Annotated[int, Field(ge=8)] = 28
    validation: Annotated[int, Field(ge=1, le=1000)]


class CharacterData(Dataset):
    image_size: Annotated[int, Field(ge=16)]
    rotations: Rotations
    validation: Count
    test: Count
    ink: Ink


class Omniglot(CharacterData):
    data_dir: str
    download: bool
    image_size: OmniglotSize


class Glyphs(CharacterData):
    drawings_each: Annotated[int, Field(ge=3)]
    glyph_seed: Annotated[int, Field(ge=0)]


class EpisodeData(Option):
    image_size: Annotated[int, Field(ge=16)]
    rotations: Rotations
    ink: Ink
    train_way: Way
    train_shot: Count
    train_query: Count
    way: Way
    shot: Count
    query: Count
    also: list[Annotated[list[Count], Field(min_length=2, max_length=2)]]
    episodes: Count
    batch_size: Count
    val_episodes: Count
    test_episodes: Count
    eval_batch_size: Count
    seed: Annotated[int, Field(ge=0)]


class OmniglotEpisodes(EpisodeData):
    data_dir: str
    download: bool
    image_size: OmniglotSize
    split: Literal["background", "vinyals"]


class GlyphEpisodes(EpisodeData):
    characters: Annotated[int, Field(ge=4)]
    evaluation: Annotated[int, Field(ge=2)]
    drawings_each: Annotated[int, Field(ge=2)]
    glyph_seed: Annotated[int, Field(ge=0)]


# -- model -------------------------------------------------------------------------------------------------------------
class Encoder(Option):
    """`sites` and `layers` are what `binary.layer` and `binary.weights` count.

    The names of the modules whose activations, and of those whose weights, can be binary, in order.
    """

    activation: Activation
    sites: list[str]
    layers: list[str] = []  # records from before binary weights lack it


class Model(Encoder):
    classes: Annotated[int, Field(ge=2)]


class SizedModel(Model):
    image_size: Annotated[int, Field(ge=16)]


class Mlp(Model):
    inputs: Count
    hidden: Annotated[list[Count], Field(min_length=1)]
    norm: Literal["none", "hidden", "all"] = "none"
    dropout: Share = 0.0
    input_dropout: Share = 0.0

    @model_validator(mode="after")
    def _a_site_each(self) -> Mlp:
        wanted = [f"features.act{i}" for i in range(1, len(self.hidden) + 1)]
        if self.sites != wanted:
            raise ValueError(f"model.sites={self.sites} does not fit model.hidden={self.hidden}; give {wanted}")
        wanted = [*(f"features.fc{i}" for i in range(1, len(self.hidden) + 1)), "classifier"]
        if self.layers and self.layers != wanted:
            raise ValueError(f"model.layers={self.layers} does not fit model.hidden={self.hidden}; give {wanted}")
        return self


class ConvNet(SizedModel):
    channels: Count
    width: Count
    hidden: Count
    image_size: Annotated[int, Field(ge=8)]


class ResNet(Model):
    channels: Count
    block: Literal["xnor", "bireal"]
    widths: Annotated[list[Count], Field(min_length=1)]
    stem_stride: Literal[1, 2]

    @model_validator(mode="after")
    def _two_sites_each(self) -> ResNet:
        numbers = range(1, 2 * len(self.widths) + 1)
        for key, wanted in (
            ("sites", [f"features.act{i}" for i in numbers]),
            ("layers", ["stem", *(f"features.conv{i}" for i in numbers), "classifier"]),
        ):
            if getattr(self, key) != wanted:
                raise ValueError(
                    f"model.{key}={getattr(self, key)} does not fit model.widths={self.widths}; give {wanted}"
                )
        return self


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


# -- estimator ---------------------------------------------------------------------------------------------------------
class Estimator(Option):
    """`surrogate` is the one that binary.surrogate takes unless told otherwise."""

    surrogate: Literal["hard_sigmoid", "hard_tanh", "logistic"]


class ScoreFunction(Estimator):
    draws: Count | Annotated[list[Count], Field(min_length=1)]
    repeat_at: RepeatAt

    @model_validator(mode="after")
    def _one_count_at_the_input(self) -> ScoreFunction:
        if self.repeat_at == "input" and isinstance(self.draws, list) and len(self.draws) > 1:
            raise ValueError(f"estimator.draws={self.draws} with repeat_at=input: all sites share one count, give one")
        return self


class Reinforce(ScoreFunction):
    decay: Share


class LeaveOneOut(ScoreFunction):
    @field_validator("draws")
    @classmethod
    def _something_to_leave_out(cls, draws: int | list[int]) -> int | list[int]:
        if (draws if isinstance(draws, int) else max(draws)) < 2:
            raise ValueError(f"estimator.draws={draws} leaves nothing to compare with; rloo needs at least 2")
        return draws


class Shaped(Estimator):
    """A backward function that moves over `epochs`."""

    epochs: Count


class SwishSign(Estimator):
    beta: Positive


class ErrorDecay(Shaped):
    start: Positive
    end: Positive


class RectifiedStraightThrough(Shaped):
    power: Annotated[float, Field(ge=1)]
    window: Positive
    margin: Positive

    @model_validator(mode="after")
    def _margin_inside(self) -> RectifiedStraightThrough:
        if not self.margin < self.window:
            raise ValueError(f"estimator.margin={self.margin} must lie inside estimator.window={self.window}")
        return self


class Relaxation(Estimator):
    temperature: Positive


class GumbelRao(Relaxation):
    draws: Count


class Gapped(Relaxation):
    gap: Positive


class Decoupled(Relaxation):
    backward_temperature: Positive


class Learned(Estimator):
    """Has parameters of its own; learning_rate null: that of the net."""

    learning_rate: Positive | None


class Nvil(ScoreFunction, Learned):
    hidden: Count
    decay: Share
    normalise: bool


class Rebar(Learned):
    temperature: Positive
    eta: float
    tune_every: Annotated[int, Field(ge=0)]


class Relax(Rebar):
    hidden: Count


class Coupled(Estimator):
    groups: Count | Annotated[list[Count], Field(min_length=1)]


class Arms(Estimator):
    draws: Count | Annotated[list[Count], Field(min_length=1)]

    @field_validator("draws")
    @classmethod
    def _something_to_couple(cls, draws: int | list[int]) -> int | list[int]:
        if (draws if isinstance(draws, int) else max(draws)) < 2:
            raise ValueError(f"estimator.draws={draws} leaves nothing to couple; arms needs at least 2")
        return draws


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
    "dataset": {
        "mnist": IdxDataset,
        "fashion_mnist": IdxDataset,
        "cifar10": ColourDataset,
        "svhn": ColourDataset,
        "digits": Digits,
        "omniglot": Omniglot,
        "glyphs": Glyphs,
        "omniglot_fewshot": OmniglotEpisodes,
        "glyphs_fewshot": GlyphEpisodes,
    },
    "model": {
        "mnist_cnn": Model,
        "mlp": Mlp,
        "conv4": Encoder,
        "omniglot_cnn": SizedModel,
        "omniglot_cnn5": SizedModel,
        "bnn_convnet": ConvNet,
        "resnet": ResNet,
    },
    "weight": dict.fromkeys(("bnn", "binaryconnect", "xnor"), Weight),
    "estimator": {
        "st": Estimator,
        "st_identity": Estimator,
        "st_clipped": Estimator,
        "st_sigmoid": Estimator,
        "approx_sign": Estimator,
        "swish_sign": SwishSign,
        "ede": ErrorDecay,
        "reste": RectifiedStraightThrough,
        "concrete": Relaxation,
        "st_gumbel": Relaxation,
        "gumbel_rao": GumbelRao,
        "gapped_st": Gapped,
        "decoupled_st": Decoupled,
        "reinmax": Estimator,
        "detached": Estimator,
        "reinforce": Reinforce,
        "nvil": Nvil,
        "rloo": LeaveOneOut,
        "muprop": Estimator,
        "rebar": Rebar,
        "relax": Relax,
        "arm": Coupled,
        "disarm": Coupled,
        "arms": Arms,
        "bitflip": Coupled,
    },
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
SCORE_FUNCTIONS = (
    "reinforce", "nvil", "rloo", "muprop", "rebar", "relax", "arm", "disarm", "arms", "bitflip",
)  # fmt: skip
RELAXATIONS = ("concrete", "st_gumbel", "gumbel_rao", "gapped_st", "decoupled_st", "reinmax")  # they need chance
