"""What every option of a config group has, and the kinds of values that many take. Nothing here imports torch.

A kind has bounds beyond which a setting is of no use: nothing is learned, or the run neither fits nor ends.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=100_000)]
Draws = Annotated[int, Field(ge=1, le=1_000)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Positive = Annotated[
    float, Field(gt=1e-4, le=1e4)
]  # temperatures, windows, slopes: what is compared with a unit's input
Rate = Annotated[float, Field(ge=1e-12, le=10)]
Epsilon = Annotated[float, Field(ge=1e-16, le=1)]
Share = Annotated[float, Field(ge=0, le=0.9999)]


def _usable(path: str) -> str:
    if not path.strip():
        raise ValueError("it is empty (an unset shell variable?); give a path, such as outputs")
    if path.startswith("~"):
        raise ValueError("the shell leaves this ~ as it is; write $HOME instead of it")
    if "\0" in path or any(len(part.encode()) > 255 for part in path.split("/")):
        raise ValueError("no file system takes it; give a shorter path of printable letters")
    return path


Place = Annotated[str, AfterValidator(_usable)]  # a file or folder


class Option(BaseModel):
    """A group option: `name` is the file's name, `_target_` the class that it builds (None: nothing is built)."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)
    name: str
    target: str | None = Field(alias="_target_")


class OwnOption(Option):
    """An option that is not binlit's: its class checks its keys."""

    model_config = ConfigDict(extra="allow", strict=True)
