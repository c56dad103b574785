"""What the tests share: where real data is, one thread, and running the command line as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

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
    folder = Path(os.environ.get("BINLIT_DATA_DIR", "data"))
    if not (folder / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST in {folder.absolute()}: set BINLIT_DATA_DIR")
    return folder.absolute()


@pytest.fixture(scope="session")
def real_omniglot() -> Path:
    """The folder with real Omniglot; the test is skipped where there is none."""
    folder = Path(os.environ.get("BINLIT_DATA_DIR", "data"))
    if not (folder / "omniglot-py").is_dir():
        pytest.skip(f"no omniglot-py in {folder.absolute()}: set BINLIT_DATA_DIR")
    return folder.absolute()


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
