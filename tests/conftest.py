"""What the tests share: real data, one thread, and the command line, in this process or in one of its own."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch

from data_at_hand import real

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_chance() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real MNIST; the test is skipped where there is none."""
    return real("mnist")


@pytest.fixture(scope="session")
def real_omniglot() -> Path:
    """The folder with real Omniglot; the test is skipped where there is none."""
    return real("omniglot")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with binlit as its wheel installs it, without what it depends on; the wheel is in `dist` beside it."""
    place = tmp_path_factory.mktemp("wheel")
    offline = ["--quiet", "--no-deps", "--no-index", "--find-links", place / "dist"]
    for words in (
        ["build", "--wheel", "--no-isolation", "--outdir", place / "dist", Path(__file__).parents[1]],
        ["pip", "install", *offline, "--target", place / "site", "binlit"],
    ):
        done = subprocess.run([sys.executable, "-m", *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return place / "site"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """`cli("train", "seed=1", ...)` runs `python -m binlit.train` in an empty folder, one thread."""

    def run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"binlit.{module}", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", **environment},
        )

    return run


@pytest.fixture
def command(tmp_path: Path) -> Cli:
    """As `cli`, in this process: a new one spends seconds of a core on its imports.

    An exception that the command lets out fails the test, where `cli` would show a traceback and status 1.
    """

    def run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        words, out, err = [f"binlit-{module}", *arguments], io.StringIO(), io.StringIO()
        main = importlib.import_module(f"binlit.{module}").main
        with (
            _same_signals(),
            contextlib.chdir(tmp_path),
            mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1", "COLUMNS": "160", **environment}),
            mock.patch.object(sys, "argv", words),
            mock.patch.object(torch, "set_num_threads"),  # two threads that wait for a busy core spin
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                status = main() or 0
            except SystemExit as end:
                status = end.code or 0
        assert isinstance(status, int), status
        return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())

    return run


@contextlib.contextmanager
def _same_signals() -> Iterator[None]:
    """What a command does on signals is undone."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
