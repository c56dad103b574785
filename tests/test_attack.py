"""scripts/attack.py itself: a few tries of one kind run, are counted, and set the exit status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "attack.py"


def attack(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_a_quick_campaign_counts_its_tries_and_its_failures():
    done = attack("--kind", "3", "--only", "as it is", "--quick")
    assert re.search(r"^ +3  crafted packed files .* +2 +0 +0 +\d+$", done.stdout, re.M), done.stdout + done.stderr
    assert done.returncode == 0


def test_a_kind_that_does_not_exist_is_refused():
    done = attack("--kind", "99")
    assert done.returncode == 2
    assert "there is no kind 99; choose of 1 to 17" in done.stderr
