"""The command: a checkpoint of Lightning's in, a packed net out that predicts what the test did."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

import binlit
from binlit.config import check
from binlit.errors import ConfigError
from binlit.export import main as export
from binlit.export import tested_net
from binlit.files import HOST
from binlit.model import BnnConvNet
from binlit.paths import config_dir
from binlit.running.build import build_data, build_task
from binlit.runtime import load
from binlit.train import train
from in_process import exit_status

BNN = ["binary=bnn", "weight=bnn", "estimator=st_clipped", "model.hidden=[64]", "model.norm=all"]


def main(words: list[str]) -> int:
    return exit_status(export, words)


def trained(folder: Path, *overrides: str) -> tuple[dict[str, Any], Path]:
    quick = ["model=mlp", "logger=none", "trainer.enable_progress_bar=false", "threads=1", "trainer.max_epochs=2"]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = check(compose("config", [*quick, *overrides]))
    train(cfg, folder)
    return cfg, folder / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run"), *BNN)


def test_a_checkpoint_becomes_a_file_that_predicts_the_same(run, capsys):
    cfg, checkpoint = run
    assert main([f"checkpoint={checkpoint}"]) == 0
    printed = capsys.readouterr().out
    assert "features.fc1: 64 x 784 bits on pixels; 64 integer thresholds" in printed
    assert "classifier: 10 x 64 bits on bits -1, +1; real scores by a scale and a shift" in printed
    assert "times smaller than its weights as float32 (203,264)" in printed
    data, task = build_data(cfg), build_task(cfg)
    task.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    data.setup("test")
    images = data.parts["test"].images[:]  # type: ignore[attr-defined]
    with torch.no_grad():
        x = (images.double() / 255 - data.mean) / data.std  # type: ignore[attr-defined]
        scores = task.net.double().eval()(x).numpy()
    model = load(checkpoint.with_suffix(".binlit"))
    np.testing.assert_allclose(model.scores(images.numpy()), scores, atol=1e-9)
    assert np.array_equal(model.predict(images.numpy()), scores.argmax(-1))


def test_out_names_the_file(run, tmp_path):
    assert main([f"checkpoint={run[1]}", f"out={tmp_path / 'net.binlit'}"]) == 0
    assert (tmp_path / "net.binlit").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "checkpoint is missing; write checkpoint="),
        (["checkpont=a"], "this command has no setting 'checkpont'; did you mean checkpoint?"),
        (["checkpoint"], "'checkpoint' has no value; write checkpoint=VALUE"),
        (["checkpoint=missing.ckpt"], "missing.ckpt is no file"),
    ],
)
def test_slips_end_with_a_line(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_there(run, tmp_path, capsys):
    assert main([f"checkpoint={run[1]}", f"out={tmp_path}/missing/net"]) == 2
    assert "cannot be written: give a file in a folder that exists" in capsys.readouterr().err


KEYS = ("out", "onnx")


def exported(run: tuple[Any, Path], folder: Path, key: str, target: Path) -> int:
    """The exit status of an export with `key` at a target; the other key at a file of its own."""
    if key == "onnx":
        pytest.importorskip("onnx")
    return main([f"checkpoint={run[1]}", *([] if key == "out" else [f"out={folder / 'other'}"]), f"{key}={target}"])


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _device(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root makes devices")
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null


def _unread(of: os.stat_result) -> tuple[int, ...]:
    """What looking at a file leaves as it is: all but the time of the last access."""
    return of.st_ino, of.st_mode, of.st_nlink, of.st_uid, of.st_size, of.st_mtime_ns, of.st_ctime_ns


SPECIAL = {
    "pipe": os.mkfifo,
    "socket": _socket,
    "device": _device,
    "folder": Path.mkdir,
    "link to a device": lambda path: path.symlink_to("/dev/null"),
    "link to a folder": lambda path: path.symlink_to(path.parent),
    "link to itself": lambda path: path.symlink_to(path),
    "link into nowhere": lambda path: path.symlink_to("nowhere/file"),
}


@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("key", KEYS)
def test_what_is_no_regular_file_is_refused_and_stays(run, tmp_path, capsys, monkeypatch, key, make):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    make(Path("target"))
    before = _unread(Path("target").lstat())
    assert exported(run, tmp_path, key, Path("target")) == 2
    complaint = capsys.readouterr().err
    assert f"{key}=target" in complaint
    assert len(complaint.splitlines()) == 1
    assert _unread(Path("target").lstat()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("key", KEYS)
def test_a_link_to_a_file_stays_a_link(run, tmp_path, key):
    (tmp_path / "file").write_text("old")
    (tmp_path / "target").symlink_to("file")
    assert exported(run, tmp_path, key, tmp_path / "target") == 0
    assert (tmp_path / "target").is_symlink()
    assert len((tmp_path / "file").read_bytes()) > 1000


@pytest.mark.parametrize("key", KEYS)
def test_the_same_net_gives_the_same_bytes_with_the_permissions_of_the_umask(run, tmp_path, key):
    made = []
    for mask in (0o022, 0o027, 0o077):
        before = os.umask(mask)
        try:
            assert exported(run, tmp_path, key, tmp_path / f"{mask:o}") == 0
        finally:
            os.umask(before)
        made.append((tmp_path / f"{mask:o}").read_bytes())
        assert stat.S_IMODE((tmp_path / f"{mask:o}").stat().st_mode) == 0o666 & ~mask
    assert made[0] == made[1] == made[2]


def test_the_bytes_do_not_depend_on_the_order_in_which_metadata_is_written(run, tmp_path):
    from binlit.runtime.packed_file import read, save

    assert main([f"checkpoint={run[1]}", f"out={tmp_path / 'net'}"]) == 0
    net = read(tmp_path / "net")
    for number in range(8):  # the library's own order is another one each time
        save(net, tmp_path / f"{number}")
        assert (tmp_path / f"{number}").read_bytes() == (tmp_path / "net").read_bytes()


def test_nothing_is_written_over_the_checkpoint_or_the_other_file(run, tmp_path, capsys):
    before = run[1].read_bytes()
    (tmp_path / "link").symlink_to(run[1])
    for words, message in (
        ([f"out={run[1]}"], "is the checkpoint itself: give another name"),
        ([f"out={tmp_path / 'link'}"], "is the checkpoint itself"),
        ([f"out={tmp_path / 'a'}", f"onnx={run[1]}"], "is the checkpoint itself"),
        ([f"out={tmp_path / 'a'}", f"onnx={tmp_path / 'a'}"], "is the file of out= too"),
    ):
        assert main([f"checkpoint={run[1]}", *words]) == 2
        assert message in capsys.readouterr().err
    assert run[1].read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


@pytest.mark.parametrize("key", KEYS)
def test_what_a_killed_export_left_goes_with_the_next(run, tmp_path, key):
    (tmp_path / f".target.{HOST}.4194300-0.part").write_text("half")
    assert exported(run, tmp_path, key, tmp_path / "target") == 0
    assert not list(tmp_path.glob(".target.*"))


@pytest.mark.parametrize("key", KEYS)
def test_a_disk_that_is_full_is_told_in_a_line(run, tmp_path, capsys, monkeypatch, key):
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "target").write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr("binlit.files.os.fsync", full)
        assert exported(run, tmp_path, key, tmp_path / "target") == 2
    complaint = capsys.readouterr().err
    assert "target cannot be written: No space left on device" in complaint
    assert len(complaint.splitlines()) == 1
    assert (tmp_path / "target").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_drawn_bits_are_refused_until_they_are_thresholded(tmp_path, capsys):
    _, checkpoint = trained(tmp_path, "binary.weights=all", "estimator=st", "binary.mode=stochastic", "weight=bnn")
    assert main([f"checkpoint={checkpoint}"]) == 2
    message = "cannot be packed: layer 'features.act1' draws its bits at test time: use binary.eval=threshold"
    assert message in capsys.readouterr().err
    assert main([f"checkpoint={checkpoint}", "binary.eval=threshold"]) == 0


def test_real_weights_are_refused(tmp_path, capsys):
    _, checkpoint = trained(tmp_path, "binary=deterministic")
    assert main([f"checkpoint={checkpoint}"]) == 2
    assert "layer 'features.fc1' has real weights: train it with binary ones (binary=bnn)" in capsys.readouterr().err
    assert not checkpoint.with_suffix(".binlit").exists()


def test_a_net_that_is_trained_by_episodes_is_refused():
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = check(compose("config", ["+experiment=glyphs_fewshot"]))
    with pytest.raises(ConfigError, match="task=few_shot scores against support images: pack a task=classification"):
        tested_net(cfg, {})


def test_help(capsys):
    assert main(["--help"]) == 0
    assert "python -m binlit.export checkpoint=" in capsys.readouterr().out


def test_an_onnx_file_has_the_same_scores(run, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    cfg, checkpoint = run
    path = tmp_path / "net.onnx"
    assert main([f"checkpoint={checkpoint}", f"out={tmp_path / 'net.binlit'}", f"onnx={path}"]) == 0
    data = build_data(cfg)
    data.setup("test")
    images = data.parts["test"].images.numpy()  # type: ignore[attr-defined]
    (scores,) = runtime.InferenceSession(path).run(None, {"pixels": images})
    np.testing.assert_allclose(scores, load(tmp_path / "net.binlit").scores(images), atol=1e-4)


@pytest.mark.parametrize(("channels", "levels"), [(3, "pm1"), (1, "01")])
def test_an_onnx_file_of_a_convolutional_net(channels, levels, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from binlit.conversion.onnx_file import save_onnx

    torch.manual_seed(0)
    net = BnnConvNet(channels=channels, width=4, hidden=16)
    binlit.binarize(net, "all", "st_clipped", mode="deterministic", levels=levels)
    binlit.binarize_weights(net, scale="xnor", init="model")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    net.eval()
    save_onnx(net, (channels, 32, 32), 0.5, 0.4, tmp_path / "net.onnx")
    images = torch.randint(256, (8, channels, 32, 32), dtype=torch.uint8)
    (scores,) = runtime.InferenceSession(tmp_path / "net.onnx").run(None, {"pixels": images.numpy()})
    with torch.no_grad():
        expected = net((images.float() / 255 - 0.5) / 0.4).numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-4)
