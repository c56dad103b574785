"""What every option of a config group has, and the kinds of values that many take. Nothing here imports torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Option(BaseModel):
    """A group option: `name` is the file's name, `_target_` the class that it builds (None: nothing is built)."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)
    name: str
    target: str | None = Field(alias="_target_")


class OwnOption(Option):
    """An option that is not binlit's: its class checks its keys."""

    model_config = ConfigDict(extra="allow", strict=True)
