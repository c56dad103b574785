"""Whether a data set can be read without a download."""

from __future__ import annotations

from pathlib import Path

from binlit.dataset.coloured import Cifar10, Svhn
from binlit.dataset.fetch import roots
from binlit.dataset.mnist import FashionMnist, Mnist
from binlit.dataset.omniglot import ALPHABETS, found

STORED = {"mnist": Mnist, "fashion_mnist": FashionMnist, "cifar10": Cifar10, "svhn": Svhn}
OMNIGLOT = ("omniglot", "omniglot_fewshot")


def available(name: str, data_dir: str | Path) -> bool:
    """Whether the files of an option of conf/dataset/ are in `data_dir` or ./data, by its loader's own rule.

    What needs no files is available everywhere. Files are looked for, and not read.
    """
    if name in STORED:
        data = STORED[name](str(data_dir))
        return any(data.holds(place) for place in data.places())
    if name in OMNIGLOT:
        return all(any(found(root, part, whole=True) for root in roots(Path(data_dir))) for part in ALPHABETS)
    return True
