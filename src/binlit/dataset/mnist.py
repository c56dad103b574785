"""MNIST and Fashion-MNIST, from idx files on disk or torchvision's download."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

from torch.nn import functional as F

from binlit.dataset.idx import holds, read_labelled
from binlit.dataset.image_files import StoredImages
from binlit.dataset.images import Images

SIZES = (28, 32)


class Mnist(StoredImages):
    """MNIST (LeCun et al. 1998): 60,000 training and 10,000 test images of digits, 28x28.

    Args:
        data_dir: looked in first, for MNIST/raw/*-ubyte or *-ubyte.gz; never written to.
        image_size: 28, or 32: two pixels of background on each side, for nets made for CIFAR-10.
        others: as in `StoredImages`.

    Raises:
        ValueError: image_size is neither.
    """

    title = "MNIST"
    folders: ClassVar[tuple[str, ...]] = ("MNIST/raw",)
    files = "the four idx files (.gz or unpacked)"
    mean, std = 0.1307, 0.3081
    counts = (
        (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    )
    sums: ClassVar[dict[str, str]] = {  # SHA-256 of each part's unpacked images
        "train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "t10k": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    }

    def __init__(self, data_dir: str = "data", *args: Any, image_size: int = 28, **settings: Any) -> None:
        super().__init__(data_dir, *args, **settings)
        if image_size not in SIZES:
            raise ValueError(f"dataset.image_size={image_size} must be 28 or 32")
        self.border, self.found = (image_size - 28) // 2, dict[str, str]()

    def holds(self, place: Path) -> bool:
        return holds(place)

    def read(self, place: Path) -> tuple[Images, Images]:
        train, test = (self._part(place, part) for part in ("train", "t10k"))
        return train, test

    def _part(self, place: Path, part: str) -> Images:
        images, labels = read_labelled(place, part, self.classes)
        self.found[part] = hashlib.sha256(images.numpy().data).hexdigest()
        return Images(F.pad(images, [self.border] * 4), labels)

    def original(self) -> bool:
        return self.found == self.sums

    def fetch(self, root: Path) -> None:
        import torchvision.datasets

        getattr(torchvision.datasets, self.title)(str(root), download=True)


class FashionMnist(Mnist):
    """Fashion-MNIST (Xiao et al. 2017, 1708.07747): clothes in MNIST's format.

    Also found where Debian's package dataset-fashion-mnist puts it.
    """

    title = "FashionMNIST"
    folders: ClassVar[tuple[str, ...]] = ("FashionMNIST/raw",)
    system_folders: ClassVar[tuple[str, ...]] = ("/usr/share/datasets/fashion-mnist",)
    mean, std = 0.2860, 0.3530
    counts = ((6000,) * 10, (1000,) * 10)
    sums: ClassVar[dict[str, str]] = {
        "train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "t10k": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
    }
