"""Episodes: disjoint support and query, right labels, any size; too much asked for is refused."""

from __future__ import annotations

import pytest
import torch

from binlit.dataset import DataError, GlyphEpisodes
from binlit.dataset.episodes import EpisodeBatches, Kind, draw_episodes


def glyphs(**options) -> GlyphEpisodes:
    data = GlyphEpisodes(characters=20, evaluation=8, **options)
    data.setup()
    return data


@pytest.mark.parametrize("kind", [Kind(5, 1, 15), Kind(20, 5, 2), Kind(2, 19, 1)])
def test_classes_are_distinct_and_support_and_query_disjoint(kind):
    support, query = draw_episodes(50, kind, 30, 20, torch.Generator().manual_seed(0))
    assert support.shape == (50, kind.way, kind.shot)
    assert query.shape == (50, kind.way, kind.query)
    classes = torch.cat([support, query], dim=2) // 20
    assert (classes == classes[..., :1]).all()  # all drawings of a way are of one class
    assert all(len(set(episode.tolist())) == kind.way for episode in classes[..., 0])
    for episode in torch.cat([support, query], dim=2).flatten(1):
        assert len(set(episode.tolist())) == len(episode)


def test_every_class_and_every_drawing_is_drawn_alike():
    support, query = draw_episodes(4000, Kind(3, 1, 2), 6, 5, torch.Generator().manual_seed(0))
    for drawn in (support, query):
        share = drawn.flatten().bincount(minlength=30) / drawn.numel()
        expected = 1 / 30
        assert (share - expected).abs().max() < 5 * (expected / drawn.numel()) ** 0.5  # classes and drawings: 5 sigma


def test_images_of_a_batch_are_those_that_its_indices_name():
    data = glyphs(train_way=4, train_shot=2, train_query=3, batch_size=5)
    images, support, query = next(iter(data.train_dataloader()))
    assert support.shape == (5, 4, 2)
    assert query.shape == (5, 4, 3)
    pool = data.parts["train"].images
    owner = {bytes(image.numpy()): c for c, drawings in enumerate(pool) for image in drawings}
    for chosen in (support, query):
        classes = torch.tensor([owner[bytes(images[i, 0].numpy())] for i in chosen.flatten()]).view(chosen.shape)
        assert (classes == classes[..., :1]).all()


def test_an_image_that_episodes_share_is_there_once():
    data = glyphs(way=8, shot=1, query=10, test_episodes=20, eval_batch_size=20)
    images, support, query = next(iter(data.test_dataloader()[0]))
    assert len(images) < support.numel() + query.numel()
    assert len({bytes(image.numpy()) for image in images}) == len(images)
    assert int(torch.cat([support.flatten(), query.flatten()]).max()) == len(images) - 1


def test_test_episodes_are_the_same_whatever_the_seed_and_training_ones_are_not():
    one, other = glyphs(seed=0, test_episodes=10), glyphs(seed=1, test_episodes=10)

    def first(loader):
        return next(iter(loader))[0]

    assert torch.equal(first(one.test_dataloader()[0]), first(other.test_dataloader()[0]))
    assert torch.equal(first(one.val_dataloader()), first(other.val_dataloader()))
    assert not torch.equal(first(one.train_dataloader()), first(other.train_dataloader()))


@pytest.mark.parametrize("batch_size", [7, 250, 600])
def test_test_episodes_do_not_depend_on_the_size_of_a_batch(batch_size):
    def all_of(size):
        batches = list(EpisodeBatches(600, size, Kind(3, 1, 2), 10, 5, seed=0, fixed=True))
        return torch.cat([torch.cat([s, q], 2) for s, q in batches])

    assert torch.equal(all_of(batch_size), all_of(50))


def test_in_training_each_place_has_an_image_of_its_own():
    data = glyphs(train_way=60, train_query=3, batch_size=6)
    images, support, query = next(iter(data.train_dataloader()))
    assert len(images) == support.numel() + query.numel()
    assert torch.equal(torch.cat([support.flatten(), query.flatten()]), torch.arange(len(images)))
    assert len({bytes(image.numpy()) for image in images}) < len(images)  # some drawings are there twice


def test_training_episodes_are_a_function_of_seed_and_epoch():
    batches = EpisodeBatches(6, 4, Kind(3, 1, 2), 10, 5, seed=3)
    assert len(batches) == 2
    epochs = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        epochs.append([torch.cat([s, q], 2) for s, q in batches])
    assert [len(batch) for batch in epochs[0]] == [4, 2]
    assert all(torch.equal(a, b) for a, b in zip(epochs[0], epochs[2], strict=True))
    assert not torch.equal(epochs[0][0], epochs[1][0])


def test_drawing_leaves_the_global_generator_alone():
    data = glyphs(episodes=20)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(data.train_dataloader())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"way": 33, "rotations": [0]}, ["33 classes", "from 3 classes", "val"]),
        ({"train_way": 69}, ["train episodes of 69 classes", "from 68 classes"]),
        ({"shot": 10, "query": 11}, ["10 + 11", "there are 20"]),
        ({"also": [[33, 1]]}, ["test episodes of 33 classes", "from 32 classes"]),
        ({"rotations": [0, 45]}, ["dataset.rotations=[0, 45]"]),
        ({"rotations": [0, 0]}, ["distinct"]),
    ],
)
def test_asking_for_more_than_there_is_is_refused(options, parts):
    with pytest.raises(DataError) as caught:
        glyphs(**options)
    for part in parts:
        assert part in str(caught.value)


def test_ink_is_light_or_dark():
    light, dark = glyphs(ink="light"), glyphs(ink="dark")
    images = light.parts["val"].images[0, :1].unsqueeze(1)
    assert torch.allclose(light.normalise(images), 1 - dark.normalise(images), atol=1e-6)
    assert float(light.normalise(images).mean()) < 0.5  # paper is 0
