"""What is attacked: a few small nets trained on the embedded digits, and what each command does when all is well."""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

from attacks.packed_use import loaded
from attacks.running import Ended, run
from attacks.verdict import answer_of, answers, record_of

QUICK = ("logger=none", "trainer.enable_progress_bar=false", "threads=1", "trainer.limit_train_batches=4")
SMALL = ("model=mlp", "model.hidden=[16]", "trainer.max_epochs=2", *QUICK)
BNN = ("binary=bnn", "weight=bnn", "estimator=st_clipped")


def replaced(words: tuple[str, ...], *more: str) -> tuple[str, ...]:
    """The words with `more`, which take the place of those with the same key: no key may be given twice."""
    keys = {word.partition("=")[0] for word in more}
    return (*(word for word in words if word.partition("=")[0] not in keys), *more)


LONGER = replaced(SMALL, "binary.layer=1", "trainer.max_epochs=3")  # `drawn`, an epoch longer
SWEEP = ("-m", *SMALL, "name=s", "binary.layer=null,1", "seed=0,1")
DENSE = (*SMALL, *BNN, "model.norm=all", "name=dense")
CONV = ("model=bnn_convnet", "model.width=4", "model.hidden=8", *BNN, *QUICK, "trainer.max_epochs=1", "name=conv")


class Ground:
    """The folder with what `make` made.

    Attributes:
        sweep: outputs/s, a table of four runs: nothing binary and site 1 drawn, two seeds each.
        drawn, plain, dense, conv: folders of single runs; the last two are packed in dense.binlit and conv.binlit.
        longer: record of `drawn` trained for three epochs.
        threshold: what `binlit.evaluate` prints of both drawn runs with binary.eval=threshold.
        peak: {command: KiB of memory of a normal run}.
        answer: what `binlit.evaluate` prints of `drawn`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sweep = folder / "outputs" / "s"

    @cached_property
    def drawn(self) -> Path:
        return self._run("s", "layer-1*seed-0*")

    @cached_property
    def plain(self) -> Path:
        return self._run("s", "layer-none*seed-0*")

    @cached_property
    def dense(self) -> Path:
        return self._run("dense", "layer-*")

    @cached_property
    def conv(self) -> Path:
        return self._run("conv", "layer-*")

    def _run(self, name: str, pattern: str) -> Path:
        (found,) = (self.folder / "outputs" / name).glob(pattern)
        return found

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return json.loads((self.folder / "facts.json").read_text())

    @property
    def peak(self) -> dict[str, float]:
        return self._facts["peak"]

    @property
    def answer(self) -> str:
        return self._facts["answer"]

    @property
    def threshold(self) -> list[str]:
        return self._facts["threshold"]

    @cached_property
    def longer(self) -> dict[str, Any]:
        return record_of(self._run("longer", "layer-1*"))

    @cached_property
    def record(self) -> dict[str, Any]:
        """Of `drawn`."""
        return record_of(self.drawn)

    def copy(self, folder: Path, *names: str) -> Path:
        """The outputs, or those of them that are named, in `folder`/outputs, to be attacked there."""
        for name in names or ("s", "dense", "conv"):
            shutil.copytree(self.folder / "outputs" / name, folder / "outputs" / name)
        return folder / "outputs"


def make(folder: Path) -> None:
    """Trains, tests, packs and reports.

    Raises:
        RuntimeError: a command that nothing is wrong with fails.
    """
    ground, peak = Ground(folder), {}

    def need(name: str, *words: str) -> Ended:
        ended = run(folder, name, *words, limit=300)
        if ended.status != 0:
            what = f"binlit.{name} {' '.join(words)} ended with {ended.status}"
            raise RuntimeError(f"{what} before anything was attacked:\n{ended.err}")
        peak[name] = max(peak.get(name, 0), ended.peak)
        return ended

    need("train", *SWEEP)
    for words in (DENSE, CONV, (*LONGER, "name=longer")):
        need("train", *words)
    tested = need("evaluate", f"checkpoint={ground.drawn}/checkpoints/best.ckpt", "threads=1")
    for name, of in (("dense", ground.dense), ("conv", ground.conv)):
        need("export", f"checkpoint={of}/checkpoints/best.ckpt", f"out={folder / name}.binlit")
    again = need("evaluate", f"checkpoint={ground.sweep}", "binary.eval=threshold", "threads=1")
    need("report", str(ground.sweep))
    if loaded(folder, folder / "conv.binlit", folder / "kernels").status != 0:  # and the kernel is compiled
        raise RuntimeError("a packed net cannot be read before anything was attacked")
    need("summary", *SMALL)
    facts = {"peak": peak, "answer": answer_of(tested.out), "threshold": answers(again.out)}
    (folder / "facts.json").write_text(json.dumps(facts))
