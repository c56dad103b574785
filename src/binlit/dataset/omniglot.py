"""Omniglot (Lake, Salakhutdinov, Tenenbaum 2015): 1,623 characters of 50 alphabets, each drawn by 20 people.

Read from torchvision's zips or from extracted folders, decoded once into bits, and kept in a cache outside the data
folder, which is only ever read.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from binlit.dataset.array_cache import kept
from binlit.dataset.drawings import Drawings, resized
from binlit.dataset.errors import DataError
from binlit.dataset.fetch import fetched, roots

SIDE, EACH = 105, 20
PACKED = -(-SIDE * SIDE // 8)  # bytes of one image's bits
AT_ONCE = 50  # characters unpacked at once
FORMAT = "v1"  # of the cached file
LARGEST = 1 << 16  # bytes of one drawing's PNG: a hundred times what the largest has
DIRECTORY = 1 << 22  # bytes at the end of a zip that hold its directory: 2 MB are those of 19,280 images
SPLITS = ("background", "vinyals")
FOLDER = "omniglot-py"
# Characters of each alphabet, in the order of the files. What is missing can so be named.
ALPHABETS: dict[str, dict[str, int]] = {
    "images_background": {
        "Alphabet_of_the_Magi": 20, "Anglo-Saxon_Futhorc": 29, "Arcadian": 26, "Armenian": 41,
        "Asomtavruli_(Georgian)": 40, "Balinese": 24, "Bengali": 46, "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14,
        "Braille": 26, "Burmese_(Myanmar)": 34, "Cyrillic": 33, "Early_Aramaic": 22, "Futurama": 26, "Grantha": 43,
        "Greek": 24, "Gujarati": 48, "Hebrew": 22, "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16,
        "Japanese_(hiragana)": 52, "Japanese_(katakana)": 47, "Korean": 40, "Latin": 26, "Malay_(Jawi_-_Arabic)": 40,
        "Mkhedruli_(Georgian)": 41, "N_Ko": 33, "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14, "Sanskrit": 42,
        "Syriac_(Estrangelo)": 23, "Tagalog": 17, "Tifinagh": 55,
    },
    "images_evaluation": {
        "Angelic": 20, "Atemayar_Qelisayer": 26, "Atlantean": 26, "Aurek-Besh": 26, "Avesta": 26, "Ge_ez": 26,
        "Glagolitic": 45, "Gurmukhi": 45, "Kannada": 41, "Keble": 26, "Malayalam": 47, "Manipuri": 40, "Mongolian": 30,
        "Old_Church_Slavonic_(Cyrillic)": 45, "Oriya": 46, "Sylheti": 28, "Syriac_(Serto)": 23, "Tengwar": 25,
        "Tibetan": 42, "ULOG": 26,
    },
}  # fmt: skip
# The 172 validation characters of the split that goes by Vinyals' name (data/omniglot/splits/vinyals/val.txt of
# Snell et al. 2017's repository, jakesnell/prototypical-networks): five whole alphabets of the background set.
VALIDATION = ("Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)")
VINYALS_TRAINING = 1200  # Vinyals et al. 2016 (1606.04080), section 4.1.1: characters for training; 423 for testing


@dataclass(frozen=True)
class Source:
    """Where the images of one part are: a zip, or a folder of the same inner layout."""

    part: str
    path: Path

    def stamp(self) -> str:
        """Changes when the images do; of loose files also with their times.

        A zip ends with its directory, which has each image's name, size and checksum: copies of it share a stamp.
        """
        if self.path.is_file():
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - DIRECTORY))
                return hashlib.sha256(f"{size} ".encode() + file.read()).hexdigest()
        files = self._files()
        lines = [f"{'/'.join(file.parts[-3:])} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def images(self) -> Iterator[tuple[str, bytes]]:
        """(alphabet/character/file, PNG) of every image, sorted by name.

        Raises:
            DataError: the zip is damaged; the message names it, and the image where it is one.
        """
        if self.path.is_dir():
            for file in self._files():
                name = "/".join(file.parts[-3:])
                if file.stat().st_size > LARGEST:
                    raise DataError(f"{self.path}: {name} is damaged (larger than any drawing); fetch it again")
                yield name, file.read_bytes()
            return
        try:
            with zipfile.ZipFile(self.path) as archive:
                for name in sorted(filter(_is_drawing, archive.namelist())):
                    try:
                        content = _member(archive, name)
                    except Exception as error:  # of zipfile, or of what unpacks
                        raise DataError(f"{self.path}: {name} is damaged ({error}); fetch the zip again") from error
                    yield "/".join(name.split("/")[-3:]), content
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, MemoryError) as error:
            raise DataError(f"{self.path} is no zip file, or is cut off ({error}); fetch it again") from error

    def _files(self) -> list[Path]:
        return sorted(file for file in self.path.glob("*/*/*.png") if _is_drawing(file.as_posix()) and file.is_file())


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A drawing, unpacked no further than a drawing goes, whatever size the zip's directory gives."""
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("packed in a way in which drawings are not")  # the others unpack all at once
    with archive.open(name) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError("larger than any drawing")
    return content


def _is_drawing(name: str) -> bool:
    """Whether a file is one; macOS puts a shadow of each, ._0001_01.png, beside it or under __MACOSX."""
    parts = name.split("/")
    return parts[-1].endswith(".png") and not parts[-1].startswith("._") and "__MACOSX" not in parts


def load_omniglot(
    data_dir: Path, download: bool, image_size: int, split: str = "background", characters: int | None = None
) -> Drawings:
    """The characters, resized, background ones first.

    Args:
        data_dir: looked in first, for omniglot-py/ with the zips or the folders; never written to.
        download: let torchvision download into ./data where neither place has them.
        image_size: side of the images in pixels; 105 as drawn.
        split: `background` (964 characters for training, 659 for evaluation, as the authors divide it) or `vinyals`
            (1,200 and 423, in the order of the files).
        characters: how many are needed; all 1,623 where not given. Files that hold none of them are not needed.

    Raises:
        DataError: files are missing or damaged; the message names them.
    """
    names = [alphabet for part in ALPHABETS.values() for alphabet, count in part.items() for _ in range(count)]
    wanted = min(len(names), characters or len(names))
    of_background = sum(ALPHABETS["images_background"].values())
    parts = list(ALPHABETS)[: 1 if wanted <= of_background else 2]
    images = torch.cat([pixels(source(part, data_dir, download), image_size) for part in parts])[:wanted]
    background = min(wanted, of_background if split == "background" else VINYALS_TRAINING)
    held_out = [i for i, name in enumerate(names[:background]) if name in VALIDATION]
    return Drawings(images, background, torch.tensor(held_out, dtype=torch.long))


def source(part: str, data_dir: Path, download: bool) -> Source:
    """The part's zip or folder, fetched where it is nowhere and may be.

    Raises:
        DataError: it is nowhere.
    """

    def fetch(root: Path) -> None:
        from torchvision.datasets import Omniglot

        Omniglot(str(root), background=part == "images_background", download=True)

    own = roots(data_dir)[-1]  # ./data, into which this or another job may be downloading: half a zip is no data yet
    for root in roots(data_dir):
        if there := found(root, part, whole=download and root == own):
            return there
    why = "dataset.download is false"
    if download:
        try:
            if there := found(fetched(FOLDER, lambda root: found(root, part, whole=True), fetch), part):
                return there
        except DataError as error:
            why = str(error)
    looked = ", ".join(str(root / FOLDER) for root in roots(data_dir))
    raise DataError(
        f"no {part}.zip and no folder {part} in {looked}, and {why}. Put them there, or set BINLIT_DATA_DIR to a "
        "folder that holds omniglot-py; +experiment=glyphs and glyphs_fewshot draw characters of their own"
    )


def found(root: Path, part: str, whole: bool = False) -> Source | None:
    """Where the part is under `root`: a whole zip, else a folder, else (unless `whole`) a zip that is cut off."""
    places = [root / FOLDER, root]
    zips = [place / f"{part}.zip" for place in places if (place / f"{part}.zip").is_file()]
    folders = [place / part for place in places if (place / part).is_dir()]
    good = [path for path in zips if zipfile.is_zipfile(path)]
    path = next(iter([*good, *([] if whole and zips else folders), *([] if whole else zips)]), None)
    return Source(part, path) if path else None


def is_at_hand(data_dir: Path) -> bool:
    """Whether both parts lie whole in `data_dir` or ./data."""
    return all(any(found(root, part, whole=True) for root in roots(data_dir)) for part in ALPHABETS)


def pixels(source: Source, size: int) -> Tensor:
    """The part's images, (characters, 20, size, size) uint8, from the cache where they were made before.

    Raises:
        DataError: images are missing or damaged; the message names them.
    """
    count = sum(ALPHABETS[source.part].values())
    stem, stamp = f"{source.part}-{FORMAT}", source.stamp()[:16]

    def unpacked() -> np.ndarray:
        packed = kept(stem, stamp, ".npy", (count, EACH, PACKED), lambda: decode(source))
        images = np.empty((count, EACH, size, size), dtype=np.uint8)
        for start in range(0, count, AT_ONCE):  # all of them unpacked would be 358 MB
            bits = np.unpackbits(packed[start : start + AT_ONCE], axis=2, count=SIDE * SIDE)
            drawings = torch.from_numpy(bits).view(-1, SIDE, SIDE).mul_(255)
            images[start : start + AT_ONCE] = resized(drawings, size).view(-1, EACH, size, size).numpy()
        return images

    if size == SIDE:  # kept as bits alone: whole pixels would take eight times the room
        return torch.from_numpy(unpacked())
    return torch.from_numpy(kept(stem, stamp, f"-{size}.npy", (count, EACH, size, size), unpacked))


def decode(source: Source) -> np.ndarray:
    """The part's images as packed bits, (characters, 20, 1379) uint8, in the order of `ALPHABETS`; shows its progress.

    Raises:
        DataError: an image is damaged, missing or one too many; the first few are named.
    """
    from rich.progress import Progress

    wanted = [
        f"{alphabet}/character{number:02d}"
        for alphabet, count in ALPHABETS[source.part].items()
        for number in range(1, count + 1)
    ]
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    surplus = []
    with warnings.catch_warnings(), Progress(transient=True) as progress:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # such a one is refused below
        task = progress.add_task(f"decoding {source.path.name}", total=len(wanted) * EACH)
        for name, content in source.images():
            images = drawn.get(name.rpartition("/")[0])
            if images is None:
                surplus.append(name)
            else:
                images.append(_bits(content, f"{source.path}: {name}"))
            progress.advance(task)
    wrong = [f"{name} ({len(images)} of {EACH} drawings)" for name, images in drawn.items() if len(images) != EACH]
    wrong += [f"{name} (not known)" for name in surplus]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise DataError(f"{source.path} is not whole: {', '.join(wrong[:5])}{more}; fetch it again")
    return np.stack([np.stack(images) for images in drawn.values()])


def _bits(content: bytes, name: str) -> np.ndarray:
    """One PNG as packed bits, (1379,) uint8, paper 1."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            size = image.size
            if size == (SIDE, SIDE):  # of another nothing is unpacked
                image.verify()  # the checksums, which decoding leaves alone
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            pixels = np.asarray(image.convert("L")) > 127 if size == (SIDE, SIDE) else None
    except Exception as error:  # whatever Pillow makes of a damaged file
        raise DataError(f"{name} is damaged: {error}; fetch it again") from error
    if pixels is None:
        raise DataError(f"{name} is {size[0]}x{size[1]}, not {SIDE}x{SIDE}; fetch it again")
    return np.packbits(pixels.reshape(-1))
