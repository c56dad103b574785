"""Image sets that lie as files in a folder of their own, or that torchvision downloads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar, NoReturn

from torch import Tensor

from binlit.dataset.errors import DataError
from binlit.dataset.fetch import fetched, roots
from binlit.dataset.images import ImageData, Images


class StoredImages(ImageData):
    """Base; subclasses say where files lie (`folders`), which they are (`holds`), and how they are read (`read`).

    Args:
        data_dir: looked in first, for each of `folders`; never written to.
        download: let torchvision download into ./data when the files are neither in data_dir nor in ./data.
        batch_size, eval_batch_size, validation, seed, classes: as in `ImageData`.
    """

    title: ClassVar[str]  # as torchvision calls it
    folders: ClassVar[tuple[str, ...]]  # below a data folder; downloads land in the first
    system_folders: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[str]  # what to put there, in words
    makes: ClassVar[tuple[str, ...]] = ()  # what a download leaves in ./data beside the first of `folders`
    counts: ClassVar[tuple[tuple[int, ...], tuple[int, ...]]]  # published: images of each class, training and test part

    def __init__(
        self,
        data_dir: str = "data",
        download: bool = True,
        batch_size: int = 64,
        eval_batch_size: int = 1000,
        validation: int = 6000,
        seed: int = 0,
        classes: int = 10,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, validation, seed, classes)
        self.data_dir, self.download = Path(data_dir), download

    def holds(self, place: Path) -> bool:
        """Whether all files are in the folder."""
        raise NotImplementedError

    def read(self, place: Path) -> tuple[Images, Images]:
        """Training and test part.

        Raises:
            DataError: a file is damaged; the message names it.
        """
        raise NotImplementedError

    def original(self) -> bool:
        """Whether the images last read, as many as there should be, are the published ones, as far as can be told."""
        return True

    def fetch(self, root: Path) -> None:
        """Downloads below `root`, by torchvision."""
        raise NotImplementedError

    def places(self) -> list[Path]:
        """Folders that may hold the files, in the order in which they are looked at."""
        below = [root / folder for root in roots(self.data_dir) for folder in self.folders]
        return below + [Path(place) for place in self.system_folders]

    def is_at_hand(self) -> bool:
        """Whether the files are in one of the folders that are looked at."""
        return any(self.holds(place) for place in self.places())

    def load(self) -> tuple[Images, Images]:
        place = next((place for place in self.places() if self.holds(place)), None)
        if place is None:
            place = self._downloaded() if self.download else self._missing("dataset.download is false")
        try:
            train, test = self.read(place)
        except OSError as error:
            raise DataError(f"{error.filename or place} cannot be read: {error.strerror or error}") from error
        self._check(place, train.labels, test.labels)
        return train, test

    def _check(self, place: Path, train: Tensor, test: Tensor) -> None:
        """Compares the labels with the published set's; of another set or a part of it a warning says so.

        Raises:
            DataError: the parts are swapped, do not belong together, or are too small for a set.
        """
        found, published = (len(train), len(test)), tuple(sum(part) for part in self.counts)
        has = f"{place} holds {found[0]:,} training and {found[1]:,} test images, {self.title} has "
        has += f"{published[0]:,} and {published[1]:,}"
        if found == published:
            each = tuple(tuple(labels.bincount(minlength=self.classes).tolist()) for labels in (train, test))
            if each != self.counts or not self.original():
                self._warn(f"{place}: the images are another set's, or bytes have changed")
        elif found[0] < found[1]:
            raise DataError(f"{has}: training and test files are swapped; put each in its place ({self.files})")
        elif found[0] == published[0] or found[0] < self.classes:
            raise DataError(f"{has}: put the originals in their place ({self.files})")
        else:
            self._warn(has)

    def _warn(self, what: str) -> None:
        print(f"binlit: warning: {what}: what is found on these images is no result on {self.title}", file=sys.stderr)

    def _downloaded(self) -> Path:
        makes = (self.folders[0].partition("/")[0], *self.makes)
        try:
            root = fetched(self.title, lambda root: self.holds(root / self.folders[0]), self.fetch, makes)
        except DataError as error:
            self._missing(str(error))
        return root / self.folders[0]

    def _missing(self, why: str) -> NoReturn:
        looked = ", ".join(str(place) for place in self.places())
        raise DataError(
            f"no {self.title} files in {looked}, and {why}. Put {self.files} into one of these folders, or set "
            f"BINLIT_DATA_DIR to a folder that holds {self.folders[0]}; dataset=digits works offline, without any file"
        )
