"""idx files: packed or not, read whole or named; and the data folder is left as it is."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import torch

from binlit.dataset import DataError, FashionMnist, Mnist
from binlit.dataset.idx import read_idx


def idx(values: torch.Tensor) -> bytes:
    return struct.pack(f">BBBB{values.ndim}i", 0, 0, 8, values.ndim, *values.shape) + values.numpy().tobytes()


def write_set(root: Path, folder: str = "MNIST", packed: bool = True, train: int = 40, test: int = 20) -> Path:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        for kind, values in (
            ("images-idx3-ubyte", torch.randint(256, (count, 28, 28), dtype=torch.uint8)),
            ("labels-idx1-ubyte", (torch.arange(count) % 10).to(torch.uint8)),
        ):
            data = idx(values)
            (raw / f"{part}-{kind}{'.gz' if packed else ''}").write_bytes(gzip.compress(data) if packed else data)
    return raw


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", [Mnist, FashionMnist])
def test_reads_packed_and_unpacked(tmp_path, packed, kind):
    write_set(tmp_path, kind.title, packed)
    data = kind(str(tmp_path), validation=8)
    data.setup()
    assert {part: len(images) for part, images in data.parts.items()} == {"train": 32, "val": 8, "test": 20}
    assert data.parts["train"].images.dtype == torch.uint8
    assert data.parts["train"].images.shape[1:] == (1, 28, 28)


def test_the_folder_is_only_read(tmp_path):
    raw = write_set(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for path in [raw, *raw.iterdir()]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    Mnist(str(tmp_path), validation=8).setup()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    raw.chmod(0o755)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-1], "holds .* bytes, but its header announces"),
        (lambda b: b + b"x", "holds .* bytes, but its header announces"),
        (lambda b: b[:6], "cut within the header"),
        (lambda b: b"<html>not found</html>", "is not an idx file"),
        (lambda b: b"", "is not an idx file"),
        (lambda b: b"\x00\x00\x0d\x03" + b[4:], "is not an idx file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(idx(torch.zeros(5, 28, 28, dtype=torch.uint8))))
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_a_truncated_gz_is_named(tmp_path):
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(torch.zeros(5, 28, 28, dtype=torch.uint8)))[:-12])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz is damaged"):
        read_idx(path)


def test_files_that_do_not_belong_together_are_named(tmp_path):
    raw = write_set(tmp_path)
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(torch.zeros(39, dtype=torch.uint8))))
    with pytest.raises(DataError, match="do not belong together"):
        Mnist(str(tmp_path), validation=8).setup()


def test_images_of_another_size_are_named(tmp_path):
    raw = write_set(tmp_path)
    small = idx(torch.zeros(40, 8, 8, dtype=torch.uint8))
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(small))
    with pytest.raises(DataError, match="holds 40 x 8 x 8, not images of 28 x 28"):
        Mnist(str(tmp_path), validation=8).setup()


def test_one_job_downloads_and_the_others_wait(tmp_path, monkeypatch):
    """Two loaders at once in an empty folder: one download, and both read whole files."""
    import threading
    import time

    import torchvision.datasets

    calls: list[str] = []

    def slow(root, download):
        calls.append(root)
        time.sleep(0.3)
        write_set(tmp_path / "data")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torchvision.datasets, "MNIST", slow)
    loaders = [Mnist(str(tmp_path / "data"), validation=8) for _ in range(2)]
    threads = [threading.Thread(target=loader.setup) for loader in loaders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert all(len(loader.parts["test"]) == 20 for loader in loaders)


def test_a_label_out_of_range_is_named(tmp_path):
    raw = write_set(tmp_path)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(torch.full((20,), 10, dtype=torch.uint8))))
    with pytest.raises(DataError, match="labels up to 10, expected 0 to 9"):
        Mnist(str(tmp_path), validation=8).setup()


def test_missing_data_says_where_it_looked_and_what_works_offline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        Mnist(str(tmp_path / "nowhere"), download=False).setup()
    message = str(caught.value)
    for part in ("nowhere/MNIST/raw", f"{tmp_path}/data/MNIST/raw", "BINLIT_DATA_DIR", "dataset=digits works offline"):
        assert part in message


def test_a_failed_download_gives_the_same_advice(tmp_path, monkeypatch):
    import torchvision.datasets

    def refuse(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torchvision.datasets, "MNIST", refuse)
    with pytest.raises(
        DataError, match=r"the download failed \(network is unreachable\).*dataset=digits works offline"
    ):
        Mnist(str(tmp_path)).setup()


def test_too_large_a_validation_part_is_refused(tmp_path):
    write_set(tmp_path)
    with pytest.raises(DataError, match=r"dataset\.validation=40 leaves nothing to train on"):
        Mnist(str(tmp_path), validation=40).setup()


def test_real_mnist_is_the_original(real_data):
    """Counts of the digits, as published, and the study's normalisation."""
    data = Mnist(str(real_data))
    data.setup()
    assert {part: len(images) for part, images in data.parts.items()} == {"train": 54_000, "val": 6_000, "test": 10_000}
    labels = torch.cat([data.parts["train"].labels, data.parts["val"].labels])
    assert labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.parts["test"].labels[:5].tolist() == [7, 2, 1, 0, 4]
    pixels = data.normalise(torch.cat([data.parts["train"].images, data.parts["val"].images]))
    assert pixels.mean().item() == pytest.approx(0, abs=2e-3)
    assert pixels.std().item() == pytest.approx(1, abs=2e-3)
