"""Draws a sheet of glyphs, docs/glyphs.png: 18 characters, each drawn ten times.

python scripts/draw_glyphs.py [--seed 0] [--size 28] [--out docs/glyphs.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from binlit.dataset.glyphs import draw_glyphs

COLUMNS, EACH, ROWS = 2, 10, 9


def sheet(images: Tensor, scale: int) -> Tensor:
    """(characters, EACH, S, S) -> one image: blocks of ROWS characters side by side, pixels `scale` wide."""
    blocks = []
    for block in images.split(ROWS):
        framed = F.pad(block, (1, 1, 1, 1), value=200)
        side = framed.shape[-1]
        blocks.append(F.pad(framed.permute(0, 2, 1, 3).reshape(-1, EACH * side), (4, 4, 4, 4), value=255))
    return torch.cat(blocks, dim=1).repeat_interleave(scale, 0).repeat_interleave(scale, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="which characters there are (default: 0)")
    parser.add_argument("--size", type=int, default=28, help="side of a drawing in pixels (default: 28)")
    parser.add_argument("--out", type=Path, default=Path("docs/glyphs.png"))
    args = parser.parse_args()
    drawn = draw_glyphs(COLUMNS * ROWS, EACH, args.size, args.seed)
    Image.fromarray(sheet(drawn.images, 2).numpy()).save(args.out, optimize=True)
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
