"""Characters drawn by a program, for tests, demonstrations and machines with no data.

A class is a stroke program: a few curves through points of a coarse grid. A drawing is the program carried out once by
an unsteady hand: the points wander, the whole is turned, slanted, stretched and moved, the pen is thick or thin. These
are no letters of any script, and results on them say nothing about Omniglot.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from binlit.dataset.drawings import Drawings
from binlit.dataset.images import generator

POINTS, STEPS = 4, 25  # control points and rendered points of a stroke
MARGIN = 0.06  # of the paper's side, left free
HELD_OUT = 0.15  # share of the background characters


def draw_glyphs(characters: int, each: int = 20, size: int = 28, seed: int = 0, evaluation: int = 0) -> Drawings:
    """`characters` background characters and `evaluation` more, each drawn `each` times, size x size.

    The same seed gives the same characters, whatever their number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are small: sharing them out takes many times as long as the work
    try:
        images = torch.stack([_drawings(index, each, size, seed) for index in range(characters + evaluation)])
    finally:
        torch.set_num_threads(threads)
    held_out = torch.arange(characters - round(HELD_OUT * characters), characters)
    return Drawings(images, characters, held_out)


def _drawings(index: int, each: int, size: int, seed: int) -> Tensor:
    """The drawings of one character, (each, S, S) uint8, ink 0 on paper 255."""
    chance = generator(seed, index)
    paths = carried_out(stroke_program(chance), each, chance)  # (each, strokes, STEPS, 2)
    thickness = (0.028 + 0.014 * torch.rand(each, 1, 1, generator=chance))[..., None]
    return rendered(paths, thickness, size)


def stroke_program(chance: torch.Generator) -> Tensor:
    """Control points of 1 to 4 strokes, (strokes, POINTS, 2), in the unit square, y downwards.

    Strokes are lines, arcs and hooks. All but the first mostly start on a point of an earlier stroke, as those of
    letters do.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=chance)

    strokes: list[Tensor] = []
    for number in range(1 + int(torch.multinomial(torch.tensor([0.2, 0.4, 0.3, 0.1]), 1, generator=chance))):
        start = 0.15 + 0.7 * uniform(2)
        if number and float(uniform(1)) < 0.75:
            earlier = strokes[int(uniform(1) * number)]
            start = earlier[int(uniform(1) * POINTS)]
        end = 0.12 + 0.76 * uniform(2)
        while float((end - start).norm()) < 0.35:
            end = 0.12 + 0.76 * uniform(2)
        along = torch.linspace(0, 1, POINTS)[:, None]
        line = start + along * (end - start)
        across = torch.stack([-(end - start)[1], (end - start)[0]])
        kind = float(uniform(1))
        bow = torch.zeros(POINTS, 1)
        if kind > 0.35:  # an arc
            bow = (float(uniform(1)) - 0.5) * 1.6 * torch.sin(math.pi * along)
        if kind > 0.8:  # a wave or a hook
            bow = (float(uniform(1)) - 0.5) * 1.4 * torch.sin(2 * math.pi * along + 0.5)
        strokes.append((line + bow * across).clamp(0.06, 0.94))
    return torch.stack(strokes)


def carried_out(program: Tensor, each: int, chance: torch.Generator) -> Tensor:
    """The program drawn `each` times: (strokes, POINTS, 2) -> (each, strokes, STEPS, 2), in the unit square."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance)

    strokes = program.shape[0]
    points = program + 0.022 * normal(each, strokes, POINTS, 2) + 0.012 * normal(each, strokes, 1, 2)
    angle, slant = 0.10 * normal(each), 0.10 * normal(each)
    stretch = torch.exp(0.08 * normal(each, 2))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(each, 2, 2)
    shear = torch.eye(2).repeat(each, 1, 1)
    shear[:, 0, 1] = slant
    change = turn @ shear * stretch[:, None]
    moved = 0.5 + torch.einsum("eij,eskj->eski", change, points - 0.5) + 0.03 * normal(each, 1, 1, 2)
    paths = torch.einsum("tk,eskj->estj", _catmull_rom(), moved)
    low, high = paths.amin((1, 2), keepdim=True), paths.amax((1, 2), keepdim=True)
    fit = ((1 - 2 * MARGIN) / (high - low)).clamp_max(1)  # too large for the paper: made smaller, then moved onto it
    low, high, paths = low * fit, high * fit, paths * fit
    return paths + (MARGIN - low).clamp_min(0) - (high - (1 - MARGIN)).clamp_min(0)


@cache
def _catmull_rom() -> Tensor:
    """(STEPS, POINTS): weights of the control points along a Catmull-Rom curve through all of them."""
    weights = torch.zeros(STEPS, POINTS)
    for step in range(STEPS):
        at = step / (STEPS - 1) * (POINTS - 1)
        left = min(int(at), POINTS - 2)
        t = at - left
        blend = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
        for offset, value in zip(range(-1, 3), blend, strict=True):
            weights[step, min(max(left + offset, 0), POINTS - 1)] += value / 2
    return weights


def rendered(paths: Tensor, thickness: Tensor, size: int) -> Tensor:
    """Paths (N, strokes, STEPS, 2) drawn with a round pen of the given radius (N, 1, 1, 1): (N, S, S) uint8.

    A pixel is as dark as its distance from the nearest segment says, over a pixel's width. Each segment is measured
    against a window of pixels about it, since further off it leaves no ink.
    """
    start, along = (part.flatten(1, 2) for part in (paths[:, :, :-1], paths.diff(dim=2)))  # (N, segments, 2)
    length = along.square().sum(-1).clamp_min(1e-12)[..., None, None]
    reach = float(thickness.max()) + 1 / size
    corner = ((torch.minimum(start, start + along) - reach) * size - 0.5).ceil().long()
    window = torch.arange(int((float(along.abs().max()) + 2 * reach) * size) + 1)
    place = (corner[..., None] + window).clamp_(0, size - 1)  # columns and rows of the windows, (N, segments, 2, W)
    away = (place + 0.5) / size - start[..., None]
    x, y = away[:, :, 0, None, :], away[:, :, 1, :, None]
    along_x, along_y = along[..., 0, None, None], along[..., 1, None, None]
    share = ((x * along_x + y * along_y) / length).clamp_(0, 1)  # where on the segment the foot of the perpendicular is
    square = (share * along_x - x).square_() + (share * along_y - y).square_()  # (N, segments, W, W)
    pixel = place[:, :, 1, :, None] * size + place[:, :, 0, None, :]
    nearest = torch.full((len(paths), size * size), torch.inf)
    nearest.scatter_reduce_(1, pixel.flatten(1), square.flatten(1), "amin")
    distance = nearest.sqrt().view(-1, size, size)
    ink = ((thickness[..., 0] - distance) * size + 0.5).clamp(0, 1)
    return (255 * (1 - ink)).round().to(torch.uint8)
