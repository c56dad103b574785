"""The compiled kernel's cache: nothing is loaded but what this user's own process compiled, and numpy stands by."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from binlit.runtime import PackedModel, bits, compiler, native
from binlit.runtime.model import NumpyKernelWarning
from binlit.runtime.native import KernelCacheWarning
from binlit.runtime.packed_file import Layer, PackedNet

COMPILER = next((path for name in compiler.COMPILERS if (path := shutil.which(name))), "")
pytestmark = pytest.mark.skipif(not COMPILER, reason="no C compiler")
DRAW = np.random.default_rng(0)
WEIGHT = bits.pack(DRAW.integers(0, 2, (3, 36)))
NET = PackedNet(
    (1, 6, 6),
    0.0,
    1.0,
    (Layer("out", "linear", "pixels", (36,), 3, weight=WEIGHT, scale=DRAW.random(3), shift=DRAW.random(3)),),
)
IMAGES = DRAW.integers(0, 256, (5, 1, 6, 6), np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """This user's folder in a cache of the test's own; nothing is loaded yet."""
    monkeypatch.setenv("BINLIT_CACHE_DIR", str(tmp_path / "cache"))
    native.library.cache_clear()
    yield tmp_path / "cache" / f"kernels-{os.getuid()}"
    native.library.cache_clear()


def kernel_anew() -> str:
    """The kernel that a fresh process would get; its integers are numpy's."""
    native.library.cache_clear()
    model = PackedModel(NET)
    assert np.array_equal(model.integers(IMAGES), PackedModel(NET, "numpy").integers(IMAGES))
    return model.kernel


@cache
def hostile(mark: Path) -> bytes:
    """A library with an initialiser that leaves a mark."""
    source, made = mark.with_suffix(".c"), mark.with_suffix(".so")
    call = f'fclose(fopen("{mark}", "w"));'
    source.write_text(f"#include <stdio.h>\n__attribute__((constructor)) static void run(void) {{ {call} }}\n")
    subprocess.run([COMPILER, "-shared", "-fPIC", str(source), "-o", str(made)], check=True)
    return made.read_bytes()


def test_the_folder_is_the_users_alone_and_the_name_holds_the_hash(folder):
    before = os.umask(0)
    try:
        assert kernel_anew() == "native"
    finally:
        os.umask(before)
    (path,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.stat().st_mtime_ns
    assert kernel_anew() == "native"
    assert path.stat().st_mtime_ns == written  # taken as it is


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


CHANGES: dict[str, Callable[[Path], object]] = {
    "cut in the middle": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut at the end": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "a bit flipped": _flipped,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "another library": lambda path: path.write_bytes(hostile(path.parents[2] / "mark")),
    "open to others": lambda path: path.chmod(0o666),
    "a pipe": _replaced(os.mkfifo),
    "a link to itself": _replaced(lambda path: path.symlink_to(path)),
    "a link to a library": _replaced(lambda path: path.symlink_to(path.parents[2] / "mark.so")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_library_that_is_not_as_it_was_written_is_made_anew(folder, tmp_path, change):
    hostile(tmp_path / "mark")
    kernel_anew()
    (path,) = folder.iterdir()
    change(path)
    assert kernel_anew() == "native"
    assert not (tmp_path / "mark").exists()
    (path,) = folder.iterdir()
    assert path.is_file()
    assert not path.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_others_could_write_to_is_emptied(folder, tmp_path):
    kernel_anew()
    (path,) = folder.iterdir()
    path.write_bytes(hostile(tmp_path / "mark"))
    planted = hostile(tmp_path / "mark")  # by its right name, but for the hash's place in it
    (folder / f"{path.name[:16]}-{native.hashlib.sha256(planted).hexdigest()}.so").write_bytes(planted)
    folder.chmod(0o777)
    assert kernel_anew() == "native"
    assert not (tmp_path / "mark").exists()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [each.name for each in folder.iterdir()] == [path.name]


def _foreign(folder: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    kernel_anew()
    os.chown(folder, 12345, 12345)


def _linked(folder: Path) -> None:
    kernel_anew()
    folder.rename(folder.with_name("other"))
    folder.symlink_to("other")


def _a_file(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("")


def _under_a_file(folder: Path) -> None:
    folder.parent.write_text("")


def _endless(folder: Path) -> None:
    folder.parent.symlink_to(folder.parent)


@pytest.mark.parametrize("make", [_foreign, _linked, _a_file, _under_a_file, _endless])
def test_a_folder_that_is_not_ours_is_left_alone_in_one_line(folder, make):
    make(folder)
    with pytest.warns(KernelCacheWarning, match=r"compiled at each start, for the cache cannot keep it \(") as said:
        assert kernel_anew() == "native"
    assert len(said) == 1
    assert len(str(said[0].message).splitlines()) == 1


OUT = 'while [ "$1" != -o ]; do shift; done; '
COMPILERS = {
    "hangs": ("exec sleep 1000", "has not built the kernel in 1 s"),
    "hangs in a child": ("sleep 1000; exit 0", "has not built the kernel in 1 s"),
    "fails": ("echo internal error >&2; exit 1", r"cannot build the kernel \(internal error\)"),
    "fails without a word": ("exit 1", r"cannot build the kernel \(no message\)"),
    "writes no text": ("printf '\\377\\033[2J' >&2; exit 1", r"cannot build the kernel \(.\?\[2J\)"),
    "is killed": ("kill -9 $$", "cannot build the kernel"),
    "makes nothing": ("exit 0", "cannot build the kernel"),
    "makes a text": (OUT + 'echo text > "$2"', "the compiled kernel cannot be loaded"),
    "makes half of it": (f'{COMPILER} "$@"; {OUT} truncate -s 9000 "$2"', "cannot be loaded .the library is truncated"),
    "makes another library": (
        OUT + f'echo "int x;" > "$2.c"; {COMPILER} -shared "$2.c" -o "$2"; rm "$2.c"',
        "the compiled kernel cannot be loaded .*product",
    ),
}


@pytest.mark.parametrize(("script", "message"), COMPILERS.values(), ids=COMPILERS)
def test_without_a_kernel_numpy_computes_in_one_line(folder, tmp_path, monkeypatch, script, message):
    path = tmp_path / "cc"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    monkeypatch.setattr(compiler, "SECONDS", 1 if "1 s" in message else 60)
    for _ in range(2):  # the second time without waiting again
        with pytest.warns(NumpyKernelWarning, match=message) as said:
            assert kernel_anew() == "numpy"
        assert len(said) == 1
        assert len(str(said[0].message).splitlines()) == 1
    assert not folder.exists() or not list(folder.iterdir())  # nothing of it is kept


def test_whatever_a_compiler_started_is_stopped_with_it(folder, tmp_path, monkeypatch):
    path = tmp_path / "cc"
    path.write_text(f"#!/bin/sh\nsleep 1234 & echo $! > {tmp_path}/child\nwait\n")
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    monkeypatch.setattr(compiler, "SECONDS", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumpyKernelWarning)
        kernel_anew()
    state = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    for _ in range(100):  # the system takes its time to end it
        if not state.exists() or state.read_text().split()[2] in "ZX":
            return
        time.sleep(0.1)
    pytest.fail("it goes on")
