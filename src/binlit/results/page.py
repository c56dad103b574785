"""What a report is made of: pages, each a table as a frame, the same as Markdown, and a picture where it has one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from binlit.files import whole, write_whole
from binlit.results.reading import Record

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass
class Page(ABC):
    """A page made of records: NAME.md, and NAME.png where it has a picture.

    To add one, write a subclass into a file of `binlit.results.pages`, and name it in `binlit.report.pages_of`.

    Args:
        records: each run once.
        title: that of the report.
        asked: what the command line says of the page; left out for a page that need not be asked for.
    """

    name: ClassVar[str]
    records: Sequence[Record]
    title: str = ""
    asked: Any = True

    def applies(self) -> bool:
        """Whether the page is to be written: where it was asked for, or, without asking, where records have it."""
        return bool(self.asked)

    @abstractmethod
    def frame(self) -> pd.DataFrame:
        """The figures of the page.

        Raises:
            ConfigError: the records do not have what was asked for.
        """

    @abstractmethod
    def markdown(self, frame: pd.DataFrame) -> str:
        """The page's text."""

    def picture(self, frame: pd.DataFrame) -> Figure | None:
        """The page's picture; None for a page without one."""
        return None

    def files(self, frame: pd.DataFrame) -> dict[str, str | Figure]:
        """{file name: what it holds}."""
        picture = self.picture(frame)
        return {f"{self.name}.md": self.markdown(frame)} | ({f"{self.name}.png": picture} if picture else {})

    def show(self, frame: pd.DataFrame) -> None:
        """Prints the figures; a page beside the table prints none."""
        return

    def write(self, out: Path) -> None:
        """Prints the page's figures, and writes its files into the folder, each whole or not at all.

        Raises:
            ConfigError: as `frame`.
            OSError: the folder cannot be written.
        """
        frame = self.frame()
        self.show(frame)
        files = self.files(frame)
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if isinstance(content, str):
                write_whole(out / name, content)
            else:
                with whole(out / name) as file:
                    content.savefig(file, format="png", dpi="figure")
        print(f"written: {', '.join(str(out / name) for name in files)}")
