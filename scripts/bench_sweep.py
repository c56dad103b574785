"""How long 1,000 jobs of a sweep take to be composed and checked, beside Hydra composing each of them anew.

python scripts/bench_sweep.py [--jobs 1000] [--sample 50] [SETTING=VALUES ...]
"""

from __future__ import annotations

import argparse
import time

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from binlit.command.sweep import checked_jobs, words_of_jobs
from binlit.config import check
from binlit.paths import config_dir

MIXED = ["seed=range(25)", "binary.layer=null,1,2,all", "binary.mode=stochastic,deterministic"]
MIXED += ["estimator=st,detached,reinforce,rloo,arms"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words", nargs="*", help="settings with their values (default: layers, modes, estimators, seeds)"
    )
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=50, help="jobs that are composed the plain way")
    read = parser.parse_args()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        words = ["+experiment=mnist", *(read.words or MIXED)]
        sweep = loader.load_configuration("config", words, RunMode.MULTIRUN)
        typed = words_of_jobs(OverridesParser.create(config_loader=loader).parse_overrides(words))[: read.jobs]
        begun, busy = time.perf_counter(), time.process_time()
        jobs, _ = checked_jobs(loader, sweep, typed)
        taken, busy = time.perf_counter() - begun, time.process_time() - busy
        sample = typed[:: max(1, len(typed) // read.sample)]
        begun = time.perf_counter()
        for one in sample:
            check(loader.load_sweep_config(sweep, one))
        plain = (time.perf_counter() - begun) / len(sample) * len(typed)
    print(f"{len(typed)} jobs ({len(jobs)} outcomes) checked in {taken:.1f} s, {busy:.1f} s of them on a core")
    print(f"each composed anew: {plain:.1f} s (from {len(sample)} of them), {plain / taken:.1f} times as long")


if __name__ == "__main__":
    main()
