"""Splits and batch order are functions of (seed, epoch); batches are normalised gathers."""

from __future__ import annotations

import pytest
import torch

from binlit.dataset import Digits, EpochBatches


def digits(seed: int = 0) -> Digits:
    data = Digits(seed=seed)
    data.setup()
    return data


def test_digits_are_the_real_ones():
    data = digits()
    assert {part: len(images) for part, images in data.parts.items()} == {"train": 1297, "val": 140, "test": 360}
    pool = torch.cat([data.parts[part].images for part in ("train", "val")])
    pixels = data.normalise(pool)
    assert pixels.shape[1:] == (1, 28, 28)
    assert pixels.mean().item() == pytest.approx(0, abs=5e-3)
    assert pixels.std().item() == pytest.approx(1, abs=5e-3)


def test_test_images_do_not_depend_on_the_seed_and_the_split_does():
    a, b, c = digits(0), digits(0), digits(1)
    assert torch.equal(a.parts["val"].labels, b.parts["val"].labels)
    assert torch.equal(a.parts["test"].images, c.parts["test"].images)
    assert not torch.equal(a.parts["val"].images, c.parts["val"].images)


def test_no_image_is_in_two_parts():
    data = digits(3)
    everything = torch.cat([part.images.flatten(1) for part in data.parts.values()])
    assert len(everything) == 1797
    both = torch.cat([data.parts["train"].images, data.parts["val"].images]).flatten(1)
    again = digits(4)
    other = torch.cat([again.parts["train"].images, again.parts["val"].images]).flatten(1)
    assert sorted(map(bytes, both.numpy())) == sorted(map(bytes, other.numpy()))


def test_an_epoch_is_every_example_once_in_an_order_of_its_own():
    batches = EpochBatches(100, 32, seed=7)
    epochs = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        epochs.append(list(batches))
    assert [len(batch) for batch in epochs[0]] == [32, 32, 32, 4]
    assert len(batches) == 4
    first, second, again = (torch.cat(epoch) for epoch in epochs)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, torch.arange(100))
    assert not torch.equal(first, torch.cat(list(EpochBatches(100, 32, seed=8))))


def test_the_order_does_not_depend_on_torchs_global_generator():
    data, orders = digits(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        orders.append(torch.cat([labels for _, labels in data.train_dataloader()]))
    assert torch.equal(*orders)


def test_loading_leaves_the_global_generator_alone():
    data = digits()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(data.train_dataloader())
    assert torch.equal(torch.rand(3), expected)


def test_a_batch_is_a_normalised_gather():
    data = digits()
    images, labels = next(iter(data.val_dataloader()))
    x, y = data.on_after_batch_transfer((images, labels), 0)
    assert torch.allclose(x, (images / 255.0 - data.mean) / data.std, atol=1e-5)
    assert torch.equal(y, labels)
    assert images.dtype == torch.uint8  # the stored images are left as they are
