"""Whether a data set can be read without a download."""

from __future__ import annotations

from pathlib import Path

from hydra.utils import get_class

from binlit.catalogue import packaged


def available(name: str, data_dir: str | Path) -> bool:
    """Whether the files of an option of conf/dataset/ are in `data_dir` or ./data, by its class's own rule.

    What reads no files is available everywhere. Files are looked for, and not read.
    """
    one = packaged("dataset")[name]
    return "data_dir" not in one.ranges or get_class(str(one.target))(data_dir=str(data_dir)).is_at_hand()
