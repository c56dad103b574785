"""Glyphs: the same characters for the same seed, drawings that differ, ink on paper, classes that can be told apart."""

from __future__ import annotations

import pytest
import torch

from binlit.dataset import Glyphs
from binlit.dataset.glyphs import draw_glyphs, rendered


def test_the_same_seed_gives_the_same_characters_whatever_their_number():
    few, many, other = draw_glyphs(3, 4), draw_glyphs(6, 4), draw_glyphs(3, 4, seed=1)
    assert torch.equal(few.images, many.images[:3])
    assert not torch.equal(few.images, other.images)


def test_ink_is_dark_on_light_and_away_from_the_edge():
    images = draw_glyphs(30, 10).images
    share = (images < 128).float().mean((1, 2, 3))
    assert (share > 0.01).all()
    assert (share < 0.4).all()
    assert (images.flatten(2).amin(2) < 64).all()  # each drawing has ink
    edge = torch.cat([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], dim=-1)
    assert (edge > 128).all()


@pytest.mark.parametrize("size", [16, 28, 105])
def test_every_pixel_is_as_dark_as_its_distance_from_the_nearest_point_of_a_stroke(size):
    """Against all pixels' distances from points set closely along the paths, some of which leave the paper."""
    paths = 0.4 * torch.rand(2, 2, 3, 2, generator=torch.Generator().manual_seed(size))  # short segments
    paths[0] += 0.8
    thickness = torch.tensor([0.02, 0.06]).view(2, 1, 1, 1)
    between = torch.linspace(0, 1, 800).view(-1, 1, 1, 1)
    points = paths[:, :, :-1].flatten(1, 2) + between * paths.diff(dim=2).flatten(1, 2)  # (800, 2, 4, 2)
    points = points.transpose(0, 1).flatten(1, 2)
    middle = (torch.arange(size) + 0.5) / size
    pixels = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), dim=-1).view(1, -1, 2).expand(2, -1, -1)
    distance = torch.cdist(pixels, points, compute_mode="donot_use_mm_for_euclid_dist").amin(2).view(2, size, size)
    ink = ((thickness[..., 0] - distance) * size + 0.5).clamp(0, 1)
    assert (rendered(paths, thickness, size) - 255 * (1 - ink)).abs().max() < 2


def test_drawings_of_a_character_differ_and_are_nearer_to_each_other_than_to_others():
    """A nearest-mean classifier on plain pixels, far above chance, and not perfect."""
    ink = 255 - draw_glyphs(40, 20).images.float()
    assert all(len(torch.unique(character.flatten(1), dim=0)) == 20 for character in ink)
    means = ink[:, :16].mean(1).flatten(1)
    queries = ink[:, 16:].flatten(2)
    nearest = torch.cdist(queries.flatten(0, 1), means).argmin(1).view(40, 4)
    right = (nearest == torch.arange(40)[:, None]).float().mean()
    assert 0.3 < right < 1


def test_sizes_and_split():
    data = Glyphs(image_size=40, classes=6, rotations=[0, 90], drawings_each=10)
    data.setup()
    assert data.parts["train"].images.shape == (36, 1, 40, 40)
    assert data.parts["test"].labels.bincount().tolist() == [2] * 6


def test_drawing_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    draw_glyphs(2)
    assert torch.equal(torch.rand(3), expected)
