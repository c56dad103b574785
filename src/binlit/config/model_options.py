"""Which keys the options of `model` have, and which values they take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from binlit.config.option import Option, Share, Width

Activation = Literal["hard_sigmoid", "hard_tanh", "relu"]


class Encoder(Option):
    """`sites` and `layers` are what `binary.layer` and `binary.weights` count.

    The names of the modules whose activations, and of those whose weights, can be binary, in order.
    """

    activation: Activation
    sites: list[str]
    layers: list[str] = Field(default_factory=list)  # records from before binary weights lack it


class Model(Encoder):
    classes: Annotated[int, Field(ge=2, le=100_000)]


class SizedModel(Model):
    image_size: Annotated[int, Field(ge=16, le=256)]


class Mlp(Model):
    inputs: Annotated[int, Field(ge=1, le=4_000_000)]
    hidden: Annotated[list[Width], Field(min_length=1)]
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
    channels: Width
    width: Width
    hidden: Width
    image_size: Annotated[int, Field(ge=8, le=256)]


class ResNet(Model):
    channels: Width
    block: Literal["xnor", "bireal"]
    widths: Annotated[list[Width], Field(min_length=1)]
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


MODELS: dict[str, type[Option]] = {
    "mnist_cnn": Model,
    "mlp": Mlp,
    "conv4": Encoder,
    "omniglot_cnn": SizedModel,
    "omniglot_cnn5": SizedModel,
    "bnn_convnet": ConvNet,
    "resnet": ResNet,
}
