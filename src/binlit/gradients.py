"""Measures gradient estimators against the truth: exact enumeration of small nets, and toys where bias shows.

python -m binlit.gradients                                              all estimators, about two minutes
python -m binlit.gradients estimators=[rloo,disarm,arms] units=[[12]]   some, on another net
python -m binlit.gradients -cd FOLDER estimators=[mine,rloo]            one of your own, FOLDER/estimator/mine.yaml
python -m binlit.report outputs/gradients --out docs/results/gradients  table and pictures again, from the records
"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from binlit.command.entry import run_hydra
from binlit.laboratory.settings import check_study
from binlit.running.quick_import import load_libraries


def main() -> None:
    run_hydra(job, "gradients")


def job(cfg: DictConfig) -> None:
    """Runs the study, then writes its records, table and pictures."""
    study = check_study(cfg)
    load_libraries()
    from rich.progress import track

    from binlit.laboratory.report import Study
    from binlit.laboratory.study import measurements
    from binlit.results.folder import made
    from binlit.running.build import set_threads

    out = made(Path(study["output_dir"]))
    set_threads(study["threads"])
    jobs = measurements(study)
    records = [run() for run in track(jobs, "measuring", disable=not sys.stdout.isatty())]
    Study(records).write(out)


if __name__ == "__main__":
    main()
