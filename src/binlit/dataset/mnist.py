"""MNIST and Fashion-MNIST, from idx files on disk or torchvision's download."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from binlit.dataset.errors import DataError
from binlit.dataset.fetch import fetched, roots
from binlit.dataset.idx import holds, read_labelled
from binlit.dataset.images import ImageData, Images


class Mnist(ImageData):
    """MNIST (LeCun et al. 1998): 60,000 training and 10,000 test images of digits, 28x28, normalised as in study A1.

    Args:
        data_dir: looked in first, for MNIST/raw/*-ubyte or *-ubyte.gz; never written to.
        download: let torchvision download into ./data when the files are neither in data_dir nor in ./data.
        batch_size, eval_batch_size, validation, seed, classes: as in `ImageData`.
    """

    folder = "MNIST"
    system_folders: ClassVar[tuple[str, ...]] = ()
    mean, std = 0.1307, 0.3081

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

    def places(self) -> list[Path]:
        """Folders that may hold the files, in the order in which they are looked at."""
        return [root / self.folder / "raw" for root in roots(self.data_dir)] + [
            Path(place) for place in self.system_folders
        ]

    def load(self) -> tuple[Images, Images]:
        place = next((place for place in self.places() if holds(place)), None)
        if place is None:
            place = self._downloaded() if self.download else self._missing("dataset.download is false")
        train, test = (Images(*read_labelled(place, part, self.classes)) for part in ("train", "t10k"))
        return train, test

    def _downloaded(self) -> Path:
        try:
            root = fetched(self.folder, lambda root: holds(root / self.folder / "raw"), self._fetch)
        except (OSError, RuntimeError) as error:
            return self._missing(f"the download failed ({str(error).splitlines()[0]})")
        return root / self.folder / "raw"

    def _fetch(self, root: Path) -> None:
        import torchvision.datasets

        getattr(torchvision.datasets, type(self).__name__.replace("Mnist", "MNIST"))(str(root), download=True)

    def _missing(self, why: str) -> Path:
        looked = ", ".join(str(place) for place in self.places())
        raise DataError(
            f"no {self.folder} files in {looked}, and {why}. Put the four idx files (.gz or unpacked) into one of "
            f"these folders, or set BINLIT_DATA_DIR to a folder that holds {self.folder}/raw; "
            "dataset=digits works offline, without any file"
        )


class FashionMnist(Mnist):
    """Fashion-MNIST (Xiao et al. 2017, 1708.07747): clothes in MNIST's format.

    Also found where Debian's package dataset-fashion-mnist puts it.
    """

    folder = "FashionMNIST"
    system_folders: ClassVar[tuple[str, ...]] = ("/usr/share/datasets/fashion-mnist",)
    mean, std = 0.2860, 0.3530
