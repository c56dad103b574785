"""Omniglot: zips and folders read alike, decoded once, never written beside; what is damaged or missing is named."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from binlit.dataset import DataError, Omniglot, OmniglotEpisodes
from binlit.dataset import omniglot as module
from binlit.dataset.drawings import resized, rotated

SMALL = {"images_background": {"Armenian": 2, "Latin": 3}, "images_evaluation": {"Angelic": 2}}


def png(seed: int, side: int = 105) -> bytes:
    pixels = np.random.default_rng(seed).random((side, side)) > 0.3
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def files() -> dict[str, bytes]:
    """{part/alphabet/character/file: PNG}, drawing d of the n-th character made of seed 100 n + d."""
    found, number = {}, 0
    for part, alphabets in SMALL.items():
        for alphabet, count in alphabets.items():
            for character in range(1, count + 1):
                for drawing in range(20):
                    name = f"{part}/{alphabet}/character{character:02d}/{number:04d}_{drawing + 1:02d}.png"
                    found[name] = png(100 * number + drawing)
                number += 1
    return found


def write(root: Path, contents: dict[str, bytes], packed: bool) -> Path:
    folder = root / "omniglot-py"
    folder.mkdir(parents=True)
    if not packed:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return root
    for part in SMALL:
        with zipfile.ZipFile(folder / f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                if name.startswith(part):
                    archive.writestr(name, content)
    return root


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "ALPHABETS", SMALL)
    monkeypatch.setenv("BINLIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def load(root: Path, size: int = 105):
    return module.load_omniglot(root, download=False, image_size=size)


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folders"])
def test_pixels_are_those_of_the_files(tmp_path, packed):
    drawn = load(write(tmp_path / "data", files(), packed))
    assert drawn.images.shape == (7, 20, 105, 105)
    assert drawn.images.dtype == torch.uint8
    assert drawn.background == 5
    assert drawn.validation.tolist() == [0, 1]  # Armenian is one of the five validation alphabets
    expected = np.asarray(Image.open(io.BytesIO(png(306))).convert("L"))
    assert torch.equal(drawn.images[3, 6], torch.from_numpy(expected.copy()))


def test_decoded_once_and_again_when_the_files_change(tmp_path, monkeypatch):
    root = write(tmp_path / "data", files(), packed=True)
    first = load(root)
    monkeypatch.setattr(module, "decode", None)  # a second decoding would fail
    assert torch.equal(load(root).images, first.images)
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)  # with times of its own
    assert torch.equal(load(tmp_path / "copy").images, first.images)
    monkeypatch.undo()
    monkeypatch.setattr(module, "ALPHABETS", SMALL)
    monkeypatch.setenv("BINLIT_CACHE_DIR", str(tmp_path / "cache"))
    path = root / "omniglot-py" / "images_background.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files().items():
            if name.startswith("images_background"):
                archive.writestr(name, png(9) if name.endswith("0000_01.png") else content)
    before = set((tmp_path / "cache").glob("*.npy"))
    assert not torch.equal(load(root).images[0, 0], first.images[0, 0])
    after = set((tmp_path / "cache").glob("*.npy"))
    assert (len(after), len(after - before)) == (len(before), 1)  # the old part's file is gone


@pytest.mark.parametrize(("size", "count"), [(105, 2), (28, 4)])
def test_a_damaged_cache_is_made_anew(tmp_path, size, count):
    root = write(tmp_path / "data", files(), packed=True)
    first = load(root, size)
    cached = sorted((tmp_path / "cache").glob("images_*.npy"))
    assert len(cached) == count
    for path in cached:
        path.write_bytes(path.read_bytes()[:5000])
    assert torch.equal(load(root, size).images, first.images)


def test_the_data_folder_is_only_read_and_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    root = write(tmp_path / "data", files(), packed=True)
    module.load_omniglot(
        root, download=True, image_size=28
    )  # ./data itself: found, so that nothing is locked or fetched
    before = sorted(root.rglob("*"))
    assert not [path for path in before if "lock" in path.name]
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("BINLIT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert load(root).images.shape == (7, 20, 105, 105)
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda f: f.pop("images_background/Latin/character02/0003_07.png"), ["Latin/character02", "19 of 20"]),
        (lambda f: f.update({"images_background/Latin/character02/0003_07.png": b"\x89PNG junk"}),
         ["Latin/character02/0003_07.png is damaged"]),
        (lambda f: f.update({"images_background/Latin/character02/0003_07.png": png(1)[:60]}),
         ["Latin/character02/0003_07.png is damaged"]),
        (lambda f: f.update({"images_background/Latin/character02/0003_07.png": png(1, 28)}), ["28x28, not 105x105"]),
        (lambda f: f.update({"images_background/Latin/character09/0009_01.png": png(1)}),
         ["Latin/character09/0009_01.png (not known)"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folders"])
def test_what_is_wrong_is_named(tmp_path, change, parts, packed):
    contents = files()
    change(contents)
    with pytest.raises(DataError) as caught:
        load(write(tmp_path / "data", contents, packed))
    for part in parts:
        assert part in str(caught.value)


def test_a_cut_zip_and_a_missing_one_are_named(tmp_path):
    root = write(tmp_path / "data", files(), packed=True)
    path = root / "omniglot-py" / "images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"images_evaluation.zip is no zip file, or is cut off"):
        load(root)
    path.unlink()
    with pytest.raises(DataError, match=r"no images_evaluation.zip .* glyphs_fewshot draw"):
        load(root)


def test_a_changed_byte_within_a_zip_is_found(tmp_path):
    root = write(tmp_path / "data", files(), packed=True)
    path = root / "omniglot-py" / "images_background.zip"
    whole = path.read_bytes()
    for at in range(100, 1100, 100):  # within the first image, deflated
        raw = bytearray(whole)
        raw[at] ^= 0xFF
        path.write_bytes(bytes(raw))
        with pytest.raises(DataError, match=r"images_background.zip: .*character01/0000_01.png is damaged"):
            load(root)


def test_a_changed_bit_within_a_loose_file_is_found(tmp_path):
    """Decoding leaves a PNG's checksums alone: most such images would be read, as others than were drawn."""
    root = write(tmp_path / "data", files(), packed=False)
    path = root / "omniglot-py" / "images_background" / "Latin" / "character02" / "0003_07.png"
    whole = path.read_bytes()
    for at in range(40, len(whole) - 16, len(whole) // 8):  # within the pixels
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(DataError, match=r"character02/0003_07.png is damaged"):
            load(root)


@pytest.mark.parametrize("at", [49, 50, 51, 52])
def test_resizing_keeps_thin_lines_and_the_full_range(at):
    """As Pillow's anti-aliased filter does it; without anti-aliasing a line of one pixel is lost at most places."""
    image = torch.full((1, 105, 105), 255, dtype=torch.uint8)
    image[0, at] = 0
    image[0, at : at + 20, 70] = 0
    small = resized(image, 28)
    assert small.shape == (1, 28, 28)
    assert int(small.min()) == 0
    assert int(small.max()) == 255
    floats = Image.fromarray(image[0].numpy()).convert("F").resize((28, 28), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.asarray(floats).copy())
    expected = (expected - expected.min()) * 255 / (expected.max() - expected.min())
    assert (small[0] - expected).abs().max() < 2


def test_a_rotation_is_a_character_of_its_own():
    images = torch.arange(2 * 3 * 16).view(2, 3, 4, 4).to(torch.uint8)
    turned = rotated(images, [0, 90])
    assert turned.shape == (4, 3, 4, 4)
    assert torch.equal(turned[2:], images.rot90(1, (2, 3)))


def test_each_character_has_held_out_drawings_by_the_seed(tmp_path):
    root = write(tmp_path / "data", files(), packed=True)

    def split(seed):
        data = Omniglot(str(root), download=False, classes=10, rotations=[0, 180], seed=seed)
        data.setup()
        return data.parts

    parts, again, other = split(0), split(0), split(1)
    assert {name: len(part) for name, part in parts.items()} == {"train": 160, "val": 20, "test": 20}
    for part in parts.values():
        assert part.labels.bincount().tolist() == [len(part) // 10] * 10
    assert torch.equal(parts["test"].images, again["test"].images)
    assert not torch.equal(parts["test"].images, other["test"].images)
    seen = {name: {bytes(image.numpy()) for image in part.images} for name, part in parts.items()}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["val"]
    assert not seen["val"] & seen["test"]
    # a drawing and its half turn stand in the same part
    halves = {bytes(image.rot90(2, (1, 2)).contiguous().numpy()) for image in parts["test"].images}
    assert halves == seen["test"]


def test_a_label_is_one_character_in_one_rotation(tmp_path):
    root = write(tmp_path / "data", files(), packed=True)
    drawn = load(root, 28).images
    known = {
        bytes(image.rot90(turns, (0, 1)).contiguous().numpy()): (character, turns)
        for character, images in enumerate(drawn)
        for image in images
        for turns in (0, 2)
    }
    data = Omniglot(str(root), download=False, classes=10, rotations=[0, 180])
    data.setup()
    meant: dict[int, set[tuple[int, int]]] = {}
    for part in data.parts.values():
        for image, label in zip(part.images, part.labels.tolist(), strict=True):
            meant.setdefault(label, set()).add(known[bytes(image.contiguous().numpy())])
    assert sorted(meant) == list(range(10))
    assert all(len(one) == 1 for one in meant.values())
    assert len(set.union(*meant.values())) == 10


def test_background_characters_alone_need_no_evaluation_file(tmp_path):
    root = write(tmp_path / "data", files(), packed=True)
    (root / "omniglot-py" / "images_evaluation.zip").unlink()
    data = Omniglot(str(root), download=False, classes=5)
    data.setup()
    assert len(data.parts["train"]) == 80
    with pytest.raises(DataError, match=r"images_evaluation.zip"):
        Omniglot(str(root), download=False, classes=7).setup()


def test_a_download_that_was_cut_off_is_fetched_again(tmp_path, monkeypatch):
    """A half zip, or half a folder beside it, in ./data is no data: torchvision is asked again, once for all jobs."""
    import torchvision.datasets

    own = write(tmp_path / "data", files(), packed=True)
    whole = {path.name: path.read_bytes() for path in (own / "omniglot-py").glob("*.zip")}
    cut = own / "omniglot-py" / "images_background.zip"
    cut.write_bytes(cut.read_bytes()[:4000])
    (own / "omniglot-py" / "images_background" / "Latin").mkdir(parents=True)
    asked = []

    def fetch(root, background, download):
        asked.append((root, background, download))
        cut.write_bytes(whole[cut.name])

    monkeypatch.setattr(torchvision.datasets, "Omniglot", fetch)
    for _ in range(2):
        drawn = module.load_omniglot(tmp_path / "elsewhere", download=True, image_size=28)
        assert drawn.images.shape == (7, 20, 28, 28)
    assert asked == [(str(own), True, True)]


def test_more_classes_than_there_are_characters_are_refused(tmp_path):
    root = write(tmp_path / "data", files(), packed=True)
    with pytest.raises(DataError, match=r"dataset.classes=8 cannot be made of 7 characters"):
        Omniglot(str(root), download=False, classes=8).setup()


def test_characters_of_training_validation_and_evaluation_are_disjoint(tmp_path):
    root = write(tmp_path / "data", files(), packed=True)
    data = OmniglotEpisodes(str(root), download=False, train_way=2, way=2, train_query=3, query=3)
    data.setup()
    seen = {
        name: {bytes(image.rot90(turn).contiguous().numpy()) for image in part.images[:, 0] for turn in range(4)}
        for name, part in data.parts.items()
    }
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 12, "val": 8, "test": 8}
    assert not seen["train"] & seen["val"]  # all rotations of a character are on its side
    assert not seen["train"] & seen["test"]
    assert not seen["val"] & seen["test"]


def test_real_omniglot_has_its_characters_in_both_splits(real_omniglot, monkeypatch):
    monkeypatch.undo()
    drawn = module.load_omniglot(real_omniglot, download=False, image_size=28)
    assert drawn.images.shape == (1623, 20, 28, 28)
    assert (drawn.background, len(drawn.validation)) == (964, 172)
    other = module.load_omniglot(real_omniglot, download=False, image_size=28, split="vinyals")
    assert (other.background, len(other.validation)) == (1200, 172)
    assert drawn.images.float().mean() / 255 > 0.8  # mostly paper
