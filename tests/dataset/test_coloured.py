"""CIFAR-10 and SVHN from tiny files in the true formats; damage is named."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy.io import savemat

from binlit.dataset import Cifar10, DataError, Mnist, Svhn
from data_at_hand import real
from tiny_files import cifar, svhn


@pytest.mark.parametrize("kind", ["bin", "py"])
def test_cifar_in_both_versions(tmp_path, kind):
    made = cifar(tmp_path, kind)
    data = Cifar10(str(tmp_path), validation=10)
    data.setup()
    assert {part: len(images) for part, images in data.parts.items()} == {"train": 20, "val": 10, "test": 6}
    pixels, labels = made["test_batch"]
    assert data.parts["test"].labels.tolist() == labels
    assert torch.equal(data.parts["test"].images[2, 1, 3, 5], torch.tensor(pixels[2, 1024 + 3 * 32 + 5]))
    x = data.normalise(data.parts["test"].images)
    assert x.shape == (6, 3, 32, 32)
    assert -1 <= x.min() < x.max() <= 1


def test_svhn_counts_ten_as_zero(tmp_path):
    made = svhn(tmp_path)
    data = Svhn(str(tmp_path), validation=4)
    data.setup()
    assert len(data.parts["train"]) == 8
    assert data.parts["test"].labels.tolist() == [int(y) % 10 for y in made["test"]["y"][:, 0]]
    assert 0 in data.parts["test"].labels
    assert data.parts["test"].images[3, 2, 4, 5] == made["test"]["X"][4, 5, 2, 3]


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


class Vast:
    """Ten megabytes of nothing in a few bytes."""

    def __reduce__(self):
        return (np.ndarray, ((10_000_000,), np.dtype(np.uint8)))


@pytest.mark.parametrize(
    ("kind", "damage", "message"),
    [
        ("bin", lambda raw: raw[:-1], "not a multiple of 3073"),
        ("bin", lambda raw: b"\x0b" + raw[1:], "has labels from .* to 11, expected 0 to 9"),
        ("py", lambda raw: raw[:-50], "is damaged or no CIFAR-10 batch"),
        ("py", lambda raw: pickle.dumps({b"labels": [1]}), "is damaged or no CIFAR-10 batch"),
        ("py", lambda raw: pickle.dumps(Evil()), "asks for builtins.print"),
        ("py", lambda raw: pickle.dumps({b"labels": [1], b"data": Vast()}), "is damaged .* not callable"),
        (
            "py",
            lambda raw: pickle.dumps({b"labels": [1], b"data": np.zeros((1, 10), np.uint8)}),
            "put the original back",
        ),
    ],
)
def test_damage_is_named_and_nothing_runs(tmp_path, kind, damage, message, capsys):
    cifar(tmp_path, kind)
    path = tmp_path / f"cifar-10-batches-{kind}" / f"data_batch_3{'.bin' if kind == 'bin' else ''}"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message) as error:
        Cifar10(str(tmp_path), validation=2).setup()
    assert "data_batch_3" in str(error.value)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:200], "damaged or no SVHN file"),
        (lambda raw: b"", "damaged or no SVHN file"),
        (lambda raw: raw[:20], "damaged or no SVHN file"),
        (lambda raw: raw[:3000] + bytes([raw[3000] ^ 64]) + raw[3001:], "damaged or no SVHN file"),
    ],
)
def test_a_damaged_mat_file_is_named(tmp_path, damage, message):
    svhn(tmp_path)
    path = tmp_path / "SVHN" / "test_32x32.mat"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"test_32x32.mat is {message}"):
        Svhn(str(tmp_path), validation=2).setup()


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.arange(1, 13), "labels from 1 to 12, expected 1 to 10"), (np.full(12, 1.5), "labels of type float64")],
)
def test_wrong_svhn_labels_are_named(tmp_path, labels, message):
    made = svhn(tmp_path)
    savemat(tmp_path / "SVHN" / "test_32x32.mat", {"X": made["test"]["X"], "y": labels.reshape(-1, 1)})
    with pytest.raises(DataError, match=message):
        Svhn(str(tmp_path), validation=2).setup()


@pytest.mark.parametrize(("kind", "part"), [(Cifar10, "data_batch_1"), (Svhn, "train_32x32.mat")])
def test_missing_files_say_what_to_put_where(tmp_path, kind, part, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=part):
        kind(str(tmp_path), download=False).setup()


def test_mnist_at_32_has_a_border_of_background(tmp_path):
    from test_idx import write_set

    write_set(tmp_path)
    small, large = (Mnist(str(tmp_path), validation=8, image_size=size) for size in (28, 32))
    small.setup()
    large.setup()
    images = large.parts["test"].images
    assert images.shape[2:] == (32, 32)
    assert torch.equal(images[:, :, 2:-2, 2:-2], small.parts["test"].images)
    assert images[:, :, :2].sum() == images[:, :, :, -2:].sum() == 0
    with pytest.raises(ValueError, match="image_size=30 must be 28 or 32"):
        Mnist(image_size=30)


def test_real_cifar_is_the_published_one():
    """60,000 images in ten classes of one size; channel means as everybody normalises by (0.4914, 0.4822, 0.4465)."""
    data = Cifar10(str(real("cifar10")), download=False)
    train, test = data.load()
    assert train.labels.bincount().tolist() == [5000] * 10
    assert test.labels.bincount().tolist() == [1000] * 10
    means = train.images.mean((0, 2, 3), dtype=torch.float64) / 255
    assert torch.allclose(means, torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64), atol=5e-5)
