"""A checkpoint's file: whole or the earlier one, whatever ends the writer; read only where it is as it was written."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from binlit.errors import ConfigError
from binlit.running.checkpoint import about, read_checkpoint, remove_leftovers, require_state, write_checkpoint


def checkpoint(epochs: int = 2) -> dict[str, Any]:
    """What training leaves after so many epochs, with the least in each part."""
    return {
        "epoch": epochs - 1,
        "global_step": 10 * epochs,
        "state_dict": {"net.weight": torch.full((300, 1000), float(epochs)), "net.slope": torch.ones(())},
        "loops": {"fit_loop": {"epoch_progress": {"current": {"processed": epochs}}}},
        "optimizer_states": [{}],
        "lr_schedulers": [],
        "callbacks": {},
        "history": [{"epoch": number + 1} for number in range(epochs)],
        "config": {"name": "x"},
    }


def write_for_ever(path: Path) -> None:
    torch.set_num_threads(1)  # a forked process has none of the threads that its parent's would wait for
    epochs = len(read_checkpoint(path)["history"])
    while True:
        epochs += 1
        write_checkpoint(checkpoint(epochs), path)


def test_fifty_kills_lose_no_checkpoint(tmp_path, monkeypatch):
    """SIGKILL to the writer at random moments: always a whole file, never an older one, and nothing elsewhere."""
    path, elsewhere = tmp_path / "last.ckpt", tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    write_checkpoint(checkpoint(1), path)
    chance, fork, before = random.Random(0), multiprocessing.get_context("fork"), 1
    for _ in range(50):
        writer = fork.Process(target=write_for_ever, args=(path,))
        old = path.stat().st_ino
        writer.start()
        while path.stat().st_ino == old:  # it is at work
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        saved = read_checkpoint(path)
        epochs = len(saved["history"])
        assert before < epochs == saved["state_dict"]["net.weight"].unique().item()
        before = epochs
    assert not any(elsewhere.iterdir())
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "tmp"]


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path):
    path = write_checkpoint(checkpoint(1), tmp_path / "last.ckpt")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))  # Python ignores SIGXFSZ: a write fails
    try:
        with pytest.raises(OSError, match="File too large"):
            write_checkpoint(checkpoint(2), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(read_checkpoint(path)["history"]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_flipped_byte_is_found_or_changes_nothing(tmp_path):
    path = write_checkpoint(checkpoint(), tmp_path / "last.ckpt")
    whole, chance, refused = path.read_bytes(), random.Random(0), 0
    places = [
        *(chance.randrange(len(whole)) for _ in range(40)),
        *range(0, 400, 20),
        *range(len(whole) - 400, len(whole), 20),
    ]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            saved = read_checkpoint(path)
        except ConfigError:
            refused += 1
        else:
            assert torch.equal(saved["state_dict"]["net.weight"], checkpoint()["state_dict"]["net.weight"])
            assert saved["history"] == checkpoint()["history"]
    assert refused >= 40


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_part_of_a_checkpoint_is_refused(tmp_path, share):
    path = write_checkpoint(checkpoint(), tmp_path / "last.ckpt")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ConfigError, match="cannot be read"):
        read_checkpoint(path)


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.ckpt", "w") as other:
        other.writestr("a", "b")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_checkpoint(tmp_path / "x.ckpt")


WRONG = {
    "state_dict": [None, [], {"net.weight": 3}],
    "config": [None, "mnist"],
    "history": [None, {}, [1, 2]],
    "epoch": [None, "2"],
}
WRONG_TO_GO_ON = {
    "loops": [None, {}, {"fit_loop": {"epoch_progress": {"current": {"processed": 1}}}}],
    "optimizer_states": [None, {}],
    "lr_schedulers": [None],
    "callbacks": [None, {"ModelCheckpoint": "x"}],
    "global_step": [None],
    "history": [[], [{"epoch": 1}], [{}, {}, {}]],
    "epoch": [0, 7],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_readable_checkpoint_that_is_wrong_is_refused_in_a_line(tmp_path, key, value):
    content = checkpoint() | {key: value}
    with pytest.raises(ConfigError, match=f"{key}|net.weight") as refused:
        read_checkpoint(write_checkpoint(content, tmp_path / "x.ckpt"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG_TO_GO_ON.items() for value in values])
def test_a_checkpoint_without_the_state_of_its_epoch_is_not_gone_on_from(tmp_path, key, value):
    path = write_checkpoint(checkpoint() | {key: value}, tmp_path / "x.ckpt")
    with pytest.raises(ConfigError) as refused:
        require_state(read_checkpoint(path), path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, bad):
    content = checkpoint()
    content["state_dict"]["net.weight"][7, 7] = bad
    with pytest.raises(ConfigError, match=r"net\.weight is not finite"):
        read_checkpoint(write_checkpoint(content, tmp_path / "x.ckpt"))


def test_weights_that_are_not_all_in_the_file_are_refused(tmp_path):
    """Sparse ones, ones of another device than memory, and a terabyte that is one number with strides of 0."""
    vast = torch.zeros(1).as_strided((1 << 20, 1 << 18), (0, 0))
    for weight in (vast, torch.eye(3).to_sparse(), torch.empty(3, device="meta")):
        content = checkpoint() | {"state_dict": {"net.weight": weight}}
        with pytest.raises(ConfigError, match=r"net\.weight is no plain tensor"):
            read_checkpoint(write_checkpoint(content, tmp_path / "x.ckpt"))


def test_what_is_wrong_with_a_config_names_the_checkpoint(tmp_path):
    with pytest.raises(ConfigError, match=r"^x\.ckpt: seed=-1 is not allowed$"), about(Path("x.ckpt")):
        raise ConfigError("seed=-1 is not allowed")
    missing = r"^x\.ckpt holds no config of a run \(KeyError: 'binary'\)$"
    with pytest.raises(ConfigError, match=missing), about(Path("x.ckpt")):
        raise KeyError("binary")
