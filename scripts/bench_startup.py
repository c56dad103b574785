"""How long the command line takes to answer: --help, a config error, and (for comparison) importing torch alone.

python scripts/bench_startup.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "--help": ["-m", "binlit.train", "--help"],
    "binary.layer=7": ["-m", "binlit.train", "binary.layer=7"],
    "binary.layr=2": ["-m", "binlit.train", "binary.layr=2"],
    "import torch": ["-c", "import torch"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):  # the first round warms the file cache
        for name, command in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=False)
            if number:
                taken[name].append(time.perf_counter() - begun)
    for name, seconds in taken.items():
        print(f"{name:16} median {statistics.median(seconds):.2f} s  ({min(seconds):.2f} – {max(seconds):.2f})")


if __name__ == "__main__":
    main()
