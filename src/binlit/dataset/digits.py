"""scikit-learn's handwritten digits: real data inside an installed package, so that everything runs offline."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from binlit.dataset.images import ImageData, Images, generator

TEST_SIZE = 360  # a fifth; the same images whatever the run's seed


class Digits(ImageData):
    """1,797 digits of 43 writers, 8x8 with 17 grey levels, upscaled (bilinear).

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), the test part.

    Args:
        image_size: side in pixels, >= 8.
        batch_size, eval_batch_size, validation, seed, classes: as in `ImageData`.
    """

    mean, std = 0.3060, 0.3250  # of the upscaled pixels, see tests/dataset/test_images.py

    def __init__(
        self,
        batch_size: int = 64,
        eval_batch_size: int = 1000,
        validation: int = 140,
        seed: int = 0,
        classes: int = 10,
        image_size: int = 28,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, validation, seed, classes)
        self.image_size = image_size

    def load(self) -> tuple[Images, Images]:
        from sklearn.datasets import load_digits

        bunch: Any = load_digits()
        small = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16  # (1797, 1, 8, 8), in [0, 1]
        large = F.interpolate(small, size=(self.image_size, self.image_size), mode="bilinear", align_corners=False)
        data = Images((large * 255).round().to(torch.uint8), torch.from_numpy(bunch.target).long())
        order = torch.randperm(len(data), generator=generator(0))
        return Images(*data[order[TEST_SIZE:]]), Images(*data[order[:TEST_SIZE]])
