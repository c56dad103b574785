"""What every option of a config group has, and the kinds of values that many take. Nothing here imports torch.

A kind has bounds beyond which a setting is of no use: nothing is learned, or the run neither fits nor ends.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from binlit import catalogue
from binlit.catalogue import packaged
from binlit.catalogue.ranges import Place as Place
from binlit.catalogue.ranges import annotation

Count = Annotated[int, Field(ge=1, le=100_000)]
Draws = Annotated[int, Field(ge=1, le=1_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Rate = Annotated[float, Field(ge=1e-12, le=10)]


class Option(BaseModel):
    """A group option: `name` is the file's name, `_target_` the class that it builds (None: nothing is built)."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)
    name: str
    target: str | None = Field(alias="_target_")
    partial: bool = Field(default=False, alias="_partial_")


class OwnOption(Option):
    """An option that is not binlit's: its class checks its keys."""

    model_config = ConfigDict(extra="allow", strict=True)


@cache
def schema_of(group: str, name: str) -> type[Option]:
    """The schema of one of binlit's options: a field for each setting, of the values that its YAML states."""
    fields: dict[str, Any] = {key: (annotation(text), ...) for key, text in packaged(group)[name].ranges.items()}
    return create_model(f"{group}_{name}", __base__=Option, **fields)


def schema_of_own(option: catalogue.Option) -> type[OwnOption]:
    """The schema of a user's own option: the settings whose range it states; its class checks the others."""
    fields: dict[str, Any] = {key: (annotation(text), ...) for key, text in option.ranges.items()}
    return create_model(f"own_{option.group}", __base__=OwnOption, **fields)
