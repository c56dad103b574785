"""A test asks for the data that it needs, and skips, saying so, where the files are not there."""

from __future__ import annotations

import gzip
import math
import zipfile

import numpy as np
import pytest
from hydra.utils import get_class

from binlit.catalogue import packaged
from data_at_hand import place_of, real
from tiny_files import cifar, svhn

IDX = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]


def test_one_data_set_does_not_stand_for_another(tmp_path):
    if place_of("fashion_mnist", (tmp_path,)):
        pytest.skip("the system has Fashion-MNIST, which is found from every folder")
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in IDX:
        shape = (1, 28, 28) if "images" in name else (1,)
        header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(header + bytes(math.prod(shape))))
    assert real("mnist", (tmp_path / "nowhere", tmp_path)) == tmp_path
    with pytest.raises(pytest.skip.Exception, match=f"no fashion_mnist in {tmp_path}: set BINLIT_DATA_DIR"):
        real("fashion_mnist", (tmp_path,))


@pytest.mark.parametrize("name", ["mnist", "omniglot", "omniglot_fewshot", "cifar10", "svhn"])
def test_folders_that_a_failed_download_left_hold_nothing(tmp_path, name):
    for folder in ("MNIST/raw", "omniglot-py", "cifar-10-batches-bin", "cifar-10-batches-py", "SVHN"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / f"{IDX[0]}.gz").touch()  # one of four
    with zipfile.ZipFile(tmp_path / "omniglot-py" / "images_background.zip", "w"):
        pass  # one of two
    with pytest.raises(pytest.skip.Exception, match=f"no {name} in"):
        real(name, (tmp_path,))


def test_what_is_there_is_found(tmp_path):
    cifar(tmp_path, "bin")
    svhn(tmp_path)
    for name in ("cifar10", "svhn", "digits", "glyphs", "glyphs_fewshot"):  # the last three need no files
        assert place_of(name, (tmp_path,)) == tmp_path


def test_the_folder_in_which_pytest_runs_is_not_taken_for_the_tests(tmp_path, monkeypatch):
    """Loaders look into ./data too; a test that runs in a folder of its own would not find it there."""
    cifar(tmp_path / "data", "bin")
    monkeypatch.chdir(tmp_path)
    assert place_of("cifar10", (tmp_path / "nowhere",)) is None


@pytest.mark.parametrize("one", packaged("dataset").values(), ids=packaged("dataset"))
def test_what_reads_no_files_is_at_hand_everywhere(tmp_path, one):
    reads = "data_dir" in one.ranges
    assert reads == hasattr(get_class(str(one.target)), "is_at_hand")
    if one.name != "fashion_mnist":  # which the system may have
        assert (place_of(one.name, (tmp_path,)) is None) == reads
