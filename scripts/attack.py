"""Attacks binlit: files that lie, full disks, kills and slips, seeded. Prints tries and failures of each kind.

python scripts/attack.py                          all kinds: 12 minutes of processor time, 7 to 15 on two cores
python scripts/attack.py --kind 3,8               two of them
python scripts/attack.py --quick                  a few tries of each kind
python scripts/attack.py --kind 6 --only flip-17  one try, by its name; what it made is kept and named with --keep

Every try runs a command of binlit's on hostile input or in a hostile place. It fails where code of the input is run, a
figure differs from the unattacked one without a word, a traceback or more than three lines are shown, memory is more
than twice a normal run's, or something is left behind. Exit status 1 where a try failed. Linux only; some tries need
the right to mount or to make devices, and are left out, saying so, without it.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from attacks.campaign import KINDS, Campaign


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default=",".join(map(str, KINDS)), help="numbers of kinds, such as 3,8; default: all")
    parser.add_argument("--seed", type=int, default=0, help="another one makes other tries of the random kinds")
    parser.add_argument("--quick", action="store_true", help="three tries of each kind")
    parser.add_argument("--only", default="", help="tries whose name has this in it")
    parser.add_argument("--keep", action="store_true", help="keep the folders of tries that failed")
    parser.add_argument("--jobs", type=int, default=2, help="tries at a time")
    asked = parser.parse_args()
    kinds = [int(kind) for kind in asked.kind.split(",")]
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"--kind {asked.kind}: there is no kind {min(unknown)}; choose of {min(KINDS)} to {max(KINDS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and the folder goes, as after Ctrl-C
    begun, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="binlit-attack-"))
    lines, failed = [], 0
    try:
        with Campaign(folder, asked.seed, asked.jobs, asked.quick, asked.only, asked.keep) as campaign:
            for kind in kinds:
                found = campaign.attack(kind)
                failed += len(found.failures)
                figures = f"{found.tries:6} {len(found.failures):9} {len(found.skipped):9} {found.seconds:6.0f}"
                lines.append(f"{kind:4}  {KINDS[kind].TITLE:62} {figures}")
    finally:
        for place in [*Path("/dev/shm").glob(f"{folder.name}-*"), *([] if asked.keep else [folder])]:
            shutil.rmtree(place, ignore_errors=True)
        if asked.keep:
            print(f"kept: {folder}")
    print(f"\n{'kind':68} {'tries':>6} {'failures':>9} {'left out':>9} {'s':>6}", *lines, sep="\n")
    print(f"seed {asked.seed}, {time.monotonic() - begun:.0f} s, {failed} failures", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
