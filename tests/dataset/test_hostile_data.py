"""Data files that lie about what they hold: told in a line, before memory is spent; nothing wrong is read."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import resource
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat
from test_idx import write_set
from test_omniglot import SMALL, files, load, png, write

from binlit.dataset import Cifar10, DataError, Mnist, Svhn, available, coloured, omniglot
from binlit.dataset.fetch import fetched
from binlit.dataset.idx import read_idx
from binlit.files import HOST
from tiny_files import cifar, svhn

MUCH = 150_000_000  # bytes; the bombs below would take from twice that to gigabytes


@pytest.fixture(autouse=True)
def _bounded():
    """No test here makes the process much larger."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < MUCH


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(omniglot, "ALPHABETS", SMALL)
    monkeypatch.setenv("BINLIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def zeros(size: int) -> bytes:
    """`size` zeros as a zlib stream: a thousandth of it."""
    packer = zlib.compressobj()
    return b"".join([*(packer.compress(bytes(1 << 24)) for _ in range(size >> 24)), packer.flush()])


def one_line(error: pytest.ExceptionInfo[DataError], *parts: str) -> None:
    said = str(error.value)
    assert "\n" not in said
    for part in parts:
        assert part in said


# ---- idx


@pytest.mark.parametrize(
    "dims",
    [
        (-1, 28, 28),
        (-2, -3, 28),
        (2**31 - 1,) * 3,
        (2**16, 2**16, 28),
        (1 << 30, 4, 1),
        (-(2**31), 2, 1),
        (60_001, 28, 28),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_dimensions_that_no_file_has_are_told(tmp_path, dims, ending):
    raw = struct.pack(">BBBB3i", 0, 0, 8, 3, *dims) + bytes(1000)
    path = tmp_path / f"train-images-idx3-ubyte{ending}"
    path.write_bytes(gzip.compress(raw) if ending else raw)
    with pytest.raises(DataError, match=r"announces .* which no such file holds") as caught:
        read_idx(path)
    one_line(caught, str(path))


def test_two_gigabytes_from_a_small_gz_are_not_unpacked(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    member = gzip.compress(bytes(1 << 24))
    path.write_bytes(gzip.compress(struct.pack(">BBBB3i", 0, 0, 8, 3, 60, 28, 28)) + 128 * member)
    with pytest.raises(DataError, match="or more bytes, but its header announces 47056"):
        read_idx(path)


def test_swapped_parts_and_three_images_are_told(tmp_path, capsys):
    raw = write_set(tmp_path / "swapped", train=20, test=40)
    with pytest.raises(DataError, match="training and test files are swapped") as caught:
        Mnist(str(tmp_path / "swapped"), validation=1).setup()
    one_line(caught, str(raw), "60,000 and 10,000")
    write_set(tmp_path / "three", train=3, test=3)
    with pytest.raises(DataError, match="holds 3 training and 3 test images, MNIST has 60,000 and 10,000"):
        Mnist(str(tmp_path / "three"), validation=1).setup()
    write_set(tmp_path / "part")
    Mnist(str(tmp_path / "part"), validation=8).setup()
    assert "what is found on these images is no result on MNIST" in capsys.readouterr().err


def test_another_set_of_the_same_size_or_a_changed_byte_is_told(tmp_path, real_data, capsys):
    """Files that are not packed have no checksum of their own."""
    from binlit.dataset import idx as module

    there, changed = real_data / "MNIST" / "raw", tmp_path / "MNIST" / "raw"
    changed.mkdir(parents=True)
    for name in (f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")):
        found = module.find(there, name)
        assert found
        raw = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
        (changed / name).write_bytes(raw)
    for name, at in (("t10k-images-idx3-ubyte", 5_000_000), ("t10k-labels-idx1-ubyte", 5_000)):
        whole = (changed / name).read_bytes()
        (changed / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        capsys.readouterr()
        Mnist(str(tmp_path)).load()
        assert "is no result on MNIST" in capsys.readouterr().err
        (changed / name).write_bytes(whole)
        Mnist(str(tmp_path)).load()
        assert not capsys.readouterr().err
    for part in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        (changed / f"train-{part}").rename(tmp_path / "aside")
        (changed / f"t10k-{part}").rename(changed / f"train-{part}")
        (tmp_path / "aside").rename(changed / f"t10k-{part}")
    with pytest.raises(DataError, match=r"holds 10,000 training and 60,000 test images.*swapped"):
        Mnist(str(tmp_path)).load()


# ---- CIFAR-10 and SVHN


class Huge:
    """Pickled as a call that would make an array of 100 GB."""

    def __init__(self, way: str) -> None:
        self.way = way

    def __reduce__(self) -> tuple[Any, ...]:
        if self.way == "ndarray":
            return np.ndarray, ((10**11,), np.dtype("u1"))
        return np.empty(0).__reduce__()[0], (np.ndarray, (10**11,), b"b")  # pyright: ignore[reportIndexIssue]


def test_batches_that_unfold_or_are_too_large_are_told(tmp_path):
    for kind in ("py", "bin"):
        cifar(tmp_path, kind)
    labels: list = [1]
    for _ in range(12):
        labels = [labels] * 10  # 10^12 labels from a few bytes
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    batch.write_bytes(pickle.dumps({b"labels": labels, b"data": np.zeros((10, 3072), np.uint8)}))
    with pytest.raises(DataError, match="data_batch_2 is damaged or no CIFAR-10 batch") as caught:
        Cifar10(str(tmp_path), validation=2).setup()
    one_line(caught)
    for huge in (Huge("_reconstruct"), Huge("ndarray")):
        batch.write_bytes(pickle.dumps({b"labels": [1], b"data": huge}))
        with pytest.raises(DataError, match="data_batch_2") as caught:
            Cifar10(str(tmp_path), validation=2).setup()
        one_line(caught)
        assert "llocate" not in str(caught.value)
    batch.write_bytes(pickle.dumps({b"labels": [1, 2], b"data": np.zeros((2, 3072), np.uint8)}))
    with pytest.raises(DataError, match="data_batch_2 holds 2 images, others 6"):
        Cifar10(str(tmp_path), validation=2).setup()
    os.truncate(batch, 20_000_000_000)
    with pytest.raises(DataError, match="too large"):
        Cifar10(str(tmp_path), validation=2).setup()
    batch.unlink()
    os.truncate(tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin", 3073 * 5_000_000)
    with pytest.raises(DataError, match=r"data_batch_2.bin holds .* up to 10000 of them"):
        Cifar10(str(tmp_path), validation=2).setup()


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_mat_file_that_unpacks_to_too_much_is_told(tmp_path, order, monkeypatch):
    monkeypatch.setattr(coloured, "MAT_LARGEST", 16 << 20)  # a true bomb takes a true file's time to make
    svhn(tmp_path)
    path = tmp_path / "SVHN" / "test_32x32.mat"
    bomb = zeros(64 << 20)
    head = path.read_bytes()[:124] + (b"\x00\x01IM" if order == "<" else b"\x01\x00MI")
    path.write_bytes(head + struct.pack(f"{order}II", 15, len(bomb)) + bomb)
    with pytest.raises(DataError, match=r"test_32x32.mat is damaged or no SVHN file") as caught:
        Svhn(str(tmp_path), validation=2).setup()
    one_line(caught, "unpacks to more than any SVHN file holds")


# ---- Omniglot


@pytest.mark.usefixtures("small")
def test_what_macos_puts_beside_files_is_passed_over(tmp_path):
    contents = files()
    shadows = {f"__MACOSX/{name.rpartition('/')[0]}/._{name.rpartition('/')[2]}": b"Mac OS X" for name in contents}
    beside = {f"{name.rpartition('/')[0]}/._{name.rpartition('/')[2]}": b"Mac OS X" for name in contents}
    for number, more in enumerate((shadows, beside)):
        root = write(tmp_path / str(number), contents, packed=True)
        for part in SMALL:
            with zipfile.ZipFile(root / "omniglot-py" / f"{part}.zip", "a") as archive:
                for name, content in more.items():
                    if part in name:
                        archive.writestr(name, content)
        assert load(root).images.shape == (7, 20, 105, 105)
    loose = write(tmp_path / "loose", contents | beside, packed=False)
    assert load(loose).images.shape == (7, 20, 105, 105)


def huge_png(side: int) -> bytes:
    """A true PNG of side x side black pixels."""
    out = io.BytesIO(b"")
    from PIL import Image

    Image.new("1", (8, 8)).save(out, "PNG")
    raw, head = out.getvalue(), struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    ihdr = struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return raw[:8] + ihdr + raw[33:]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folders"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (huge_png(60_000), "is damaged: .*exceeds limit"),
        (huge_png(13_000), "is 13000x13000, not 105x105"),
        (png(1) + bytes(1 << 26), "is damaged .*larger than any drawing"),
        (b"", "is damaged"),
        (b"GIF89a" + bytes(100), "is damaged"),
    ],
)
def test_drawings_that_are_none_are_told_before_they_are_unpacked(tmp_path, packed, content, said):
    name = "images_background/Latin/character02/0003_07.png"
    root = write(tmp_path / "data", files() | {name: content}, packed)
    with pytest.raises(DataError, match=f"Latin/character02/0003_07.png {said}") as caught:
        load(root)
    one_line(caught)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("way", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_lies_about_its_size_is_not_unpacked(tmp_path, way):
    root = write(tmp_path / "data", files(), packed=True)
    path = root / "omniglot-py" / "images_background.zip"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("images_background/Latin/character02/bomb.png", bytes(1 << 25), way)
    raw = path.read_bytes()
    lie = raw.replace(struct.pack("<I", 1 << 25), struct.pack("<I", 700))  # in both headers
    assert lie != raw
    path.write_bytes(lie)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb.png is damaged") as caught:
        load(root)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
    one_line(caught)


@pytest.mark.usefixtures("small")
def test_a_folder_with_dead_links_or_pipes_for_drawings_is_told(tmp_path):
    root = write(tmp_path / "data", files(), packed=False)
    drawing = root / "omniglot-py" / "images_background" / "Latin" / "character02" / "0003_07.png"
    for make in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere")):
        drawing.unlink() if drawing.is_file() else None
        make(drawing)
        with pytest.raises(DataError, match=r"Latin/character02 \(19 of 20 drawings\)"):
            load(root)
        drawing.rmdir() if drawing.is_dir() else drawing.unlink()


# ---- the cache of decoded drawings


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("size", [28, 105])
def test_a_cache_that_is_not_what_was_put_there_is_made_anew(tmp_path, size):
    root = write(tmp_path / "data", files(), packed=True)
    first = load(root, size).images
    cached = sorted((tmp_path / "cache").glob("*.npy"))
    whole = {path: path.read_bytes() for path in cached}
    foreign = {path: whole[twin] for path, twin in zip(cached, reversed(cached), strict=True)}
    damages = {
        "flipped": lambda path: whole[path][:-50] + bytes([whole[path][-50] ^ 1]) + whole[path][-49:],
        "first byte": lambda path: whole[path][:128] + bytes([whole[path][128] ^ 1]) + whole[path][129:],
        "zeros": lambda path: whole[path][:128] + bytes(len(whole[path]) - 128),
        "cut": lambda path: whole[path][:-1],
        "empty": lambda path: b"",
        "longer": lambda path: whole[path] + b"x",
        "foreign": lambda path: foreign[path],
    }
    for name, damage in damages.items():
        for path in cached:
            path.write_bytes(damage(path))
        assert torch.equal(load(root, size).images, first), name
    for path in cached:
        with path.open("wb") as file:
            np.save(file, np.zeros_like(np.load(io.BytesIO(whole[path]))))  # of the right shape
    assert torch.equal(load(root, size).images, first)
    for path in cached:
        os.truncate(path, 20_000_000_000)  # not read
    assert torch.equal(load(root, size).images, first)
    assert {path: path.read_bytes() for path in cached} == whole


@pytest.mark.usefixtures("small")
def test_what_killed_decoders_left_goes_with_the_next_start(tmp_path):
    root = write(tmp_path / "data", files(), packed=True)
    load(root)
    cached = next((tmp_path / "cache").glob("images_background-*.npy"))
    old = cached.name.replace(cached.stem.rpartition("-")[2], "0" * 16)  # of files as they were before
    for name in (f".{cached.name}.{HOST}.9-0.part", f".{cached.name}.99999.npy", f".{old}.{HOST}.9-0.part"):
        (tmp_path / "cache" / name).write_bytes(bytes(100))
    load(root)
    assert not list((tmp_path / "cache").glob(".*"))


# ---- downloads


def test_a_download_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def fetch(root: Path) -> None:
        (root / "omniglot-py" / "deep").mkdir(parents=True)
        (root / "omniglot-py" / "half.zip").write_bytes(b"half")
        (root / "other").mkdir()  # another job's
        raise ValueError("")

    with pytest.raises(DataError, match=r"the download failed \(ValueError\)"):
        fetched("omniglot-py", lambda root: False, fetch)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["other"]
    assert not available("omniglot", tmp_path / "nowhere")
    (tmp_path / "data" / "other").rmdir()
    (tmp_path / "data").rmdir()
    (tmp_path / "data" / "omniglot-py").mkdir(parents=True)
    (tmp_path / "data" / "omniglot-py" / "kept").write_text("")

    def refuse(root: Path) -> None:
        (root / "omniglot-py" / "half.zip").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched("omniglot-py", lambda root: False, refuse)
    assert [str(path.relative_to(tmp_path)) for path in (tmp_path / "data").rglob("*")] == [
        "data/omniglot-py",
        "data/omniglot-py/kept",
    ]


def test_a_refused_download_makes_no_folder(tmp_path, monkeypatch):
    import torchvision.datasets

    def refuse(folder):
        def begin(root, *_, **__):
            (tmp_path / "data" / folder).mkdir(parents=True)
            raise RuntimeError("no connection\nat all")

        return begin

    monkeypatch.chdir(tmp_path)
    folders = {"MNIST": "MNIST/raw", "Omniglot": "omniglot-py", "CIFAR10": "cifar-10-batches-py", "SVHN": "SVHN"}
    for name, folder in folders.items():
        monkeypatch.setattr(torchvision.datasets, name, refuse(folder))
    loaders: list[Callable[[], object]] = [kind(str(tmp_path / "nowhere")).setup for kind in (Mnist, Cifar10, Svhn)]
    loaders.append(lambda: omniglot.load_omniglot(tmp_path / "nowhere", True, 28))
    for loader in loaders:
        with pytest.raises(DataError, match=r"the download failed \(no connection\)") as caught:
            loader()
        one_line(caught)
        assert not list(tmp_path.iterdir())


# ---- damage at random


def test_sixty_six_damages_at_random_are_told_in_a_line_or_change_nothing_that_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BINLIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(omniglot, "ALPHABETS", SMALL)
    raw = write_set(tmp_path)
    svhn(tmp_path)
    cifar(tmp_path, "py")
    write(tmp_path, files(), packed=True)
    loaders = {
        raw / "train-images-idx3-ubyte.gz": lambda: Mnist(str(tmp_path), validation=8).load(),
        tmp_path / "SVHN" / "train_32x32.mat": lambda: Svhn(str(tmp_path), validation=2).load(),
        tmp_path / "omniglot-py" / "images_background.zip": lambda: load(tmp_path).images,
    }
    chance = random.Random(0)
    for path, loader in loaders.items():
        whole, right = path.read_bytes(), loader()
        for _ in range(22):
            at, length = chance.randrange(len(whole)), chance.choice([1, 4, 200])
            kind = chance.choice(["flip", "cut", "zeros", "noise", "insert"])
            noise = {"flip": bytes([whole[at] ^ 1]), "zeros": bytes(length), "noise": chance.randbytes(length)}
            if kind == "cut":
                damaged = whole[:at]
            else:
                put = noise.get(kind, chance.randbytes(length))
                damaged = whole[:at] + put + whole[at + (0 if kind == "insert" else len(put)) :]
            path.write_bytes(damaged)
            found, said = right, str(path)
            try:
                found = loader()
            except DataError as error:
                said = str(error)
            assert len(said.splitlines()) == 1
            assert path.name in said or str(path.parent) in said
            for one, other in zip(found, right, strict=True):
                same = (one.images, other.images) if hasattr(one, "images") else (one, other)
                assert torch.equal(*same), (path, kind, at)
        path.write_bytes(whole)


def test_a_mat_file_without_compression_is_read(tmp_path):
    made = svhn(tmp_path)
    for part in ("train", "test"):
        savemat(tmp_path / "SVHN" / f"{part}_32x32.mat", made[part])
    data = Svhn(str(tmp_path), validation=4)
    data.setup()
    assert len(data.parts["train"]) == 8
