"""A trained net out of its checkpoint, ready for images."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from binlit.callbacks.options import tested_checkpoint
from binlit.catalogue import Config
from binlit.catalogue.trust import check_classes
from binlit.config import check
from binlit.errors import ConfigError
from binlit.evaluate import with_folders
from binlit.results.record import read_record
from binlit.running.build import packable, restored
from binlit.running.checkpoint import about, named, read_checkpoint
from binlit.running.cost import too_large
from binlit.task import Classification, Learning

TRUST = 'if it is your own, give trust=["{name}"]'


class TrainedNet(nn.Module):
    """A trained net and the normalisation that it was trained with.

    Attributes:
        net: the net itself, which takes normalised images.
        config: that of its run.
    """

    net: nn.Module

    def __init__(self, task: Learning, data: Any, config: Config) -> None:
        super().__init__()
        self.net, self.config = task.net, config
        self._data = data
        self._logits = task.logits if isinstance(task, Classification) else None
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """What the net makes of images, as a test of its run does.

        Args:
            images: (N, C, H, W); uint8 pixels 0 .. 255, or floating-point pixels in [0, 1].

        Returns:
            Logits (N, classes), over `binary.eval_draws` draws where the config asks for a mean of several;
            of a few-shot run the embeddings (N, D) of one draw. Where bits are drawn, torch's generator draws them.

        Raises:
            ValueError: the images are of another shape or type, or floating-point pixels are outside [0, 1].
        """
        x = self._data.normalise(_pixels(images))
        return self.net(x) if self._logits is None else self._logits(x)

    def pack(self, path: str | PathLike[str]) -> Path:
        """Writes the net as bits into a file for `binlit.runtime.load`, as `binlit.export` does; returns its path.

        Raises:
            binlit.ConfigError: the net cannot be packed: it is real somewhere, draws bits at test time, or scores
                against support images.
            OSError: the file cannot be written.
        """
        from binlit.conversion import ConversionError, convert
        from binlit.runtime.packed_file import PackedError, save

        if self._logits is None:
            raise ConfigError("this net scores against support images: pack one of task=classification")
        try:
            save(convert(*packable(self.config, self.net, self._data)), Path(path))
        except (ConversionError, PackedError) as error:
            raise ConfigError(f"this net cannot be packed: {error}") from error
        return Path(path)


def _pixels(images: Tensor) -> Tensor:
    """The images with pixels 0 .. 255."""
    if images.dim() != 4:
        raise ValueError(f"images are (N, C, H, W), and not {tuple(images.shape)}; images[None] adds the first")
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise ValueError(f"images are uint8 or floating-point, and not {images.dtype}")
    if len(images) and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError("floating-point images have pixels in [0, 1], before any normalisation; load() has its own")
    return images.float() * 255


def load(checkpoint: str | PathLike[str], trust: Iterable[str] = ()) -> TrainedNet:
    """The net of a checkpoint, in evaluation mode on the CPU in float32, with the normalisation of its data.

    Args:
        checkpoint: a run's checkpoints/best.ckpt or last.ckpt; or the run's folder, for the one that was tested.
        trust: dotted names of your own classes that the checkpoint's config names, such as ["my.module.Net"]: they are
            imported and called. Other classes than those of binlit's options are refused.

    Returns:
        A module (N, C, H, W) -> logits (N, classes); see `TrainedNet.forward` for what it takes.

    Raises:
        binlit.ConfigError: the file is no checkpoint of binlit's, is damaged, or names a class that is not trusted.

    Examples:
        >>> import binlit, torch
        >>> record = binlit.run(["model=mlp", "trainer.max_epochs=1", "name=loaded"], quiet=True)
        >>> net = binlit.load(record.folder)
        >>> net(torch.zeros(5, 1, 28, 28, dtype=torch.uint8)).shape
        torch.Size([5, 10])
    """
    path = Path(checkpoint)
    if path.is_dir():
        record = read_record(path)
        if record is None:
            raise ConfigError(f"{path} holds no result.json; give a run's folder, or one of its checkpoints")
        path = path / "checkpoints" / tested_checkpoint(record["config"])
    saved = read_checkpoint(path)
    check_classes(saved["config"], path, [trust] if isinstance(trust, str) else trust, TRUST)
    with about(path):
        config = check(with_folders(saved["config"]))
    for problem in too_large(config, training=False):
        raise ConfigError(f"{path}: {problem}")
    try:
        with torch.random.fork_rng(()):
            task, data = restored(config, saved["state_dict"])
    except ConfigError as error:
        raise named(error, path) from error
    if not hasattr(data, "normalise"):
        raise ConfigError(
            f"{path}: {type(data).__name__} has no normalise(images), which makes pixels what the net takes"
        )
    return TrainedNet(task, data, config)
