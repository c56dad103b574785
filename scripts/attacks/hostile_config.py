"""Kind 1: a checkpoint, or a record, whose config names something to be called that leaves a mark."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attacks.checkpoint_use import WAYS, attacked
from attacks.ground import LONGER, Ground
from attacks.running import Try, run
from attacks.verdict import MARK, unhurt, untouched

TITLE = "a checkpoint runs code"
TOUCH = f"touch {MARK}"
TARGETS: dict[str, dict[str, Any]] = {
    "os.system": {"command": TOUCH},
    "posix.system": {"command": TOUCH},
    "os.mkdir": {"path": MARK},
    "os.makedirs": {"name": MARK},
    "os.mkfifo": {"path": MARK},
    "subprocess.run": {"args": ["touch", MARK]},
    "subprocess.Popen": {"args": TOUCH, "shell": True},
    "subprocess.getoutput": {"cmd": TOUCH},
    "builtins.open": {"file": MARK, "mode": "w"},
    "io.open": {"file": MARK, "mode": "w"},
    "codecs.open": {"filename": MARK, "mode": "w"},
    "logging.FileHandler": {"filename": MARK},
    "timeit.timeit": {"stmt": f"open({MARK!r}, 'w')", "number": 1},
    "cProfile.run": {"statement": f"open({MARK!r}, 'w')"},
    "tempfile.mkdtemp": {"prefix": MARK, "dir": "."},
    "shutil.copyfile": {"src": "evil.py", "dst": MARK},
    "torch.save": {"obj": 1, "f": MARK},
    "numpy.save": {"file": MARK, "arr": [1]},
    "numpy.load": {"file": "evil.npy", "allow_pickle": True},
    "torch.load": {"f": "evil.pickle", "weights_only": False},
    "torch.hub.load": {"repo_or_dir": ".", "model": "x", "source": "local"},
    "runpy.run_path": {"path_name": "evil.py"},
    "importlib.import_module": {"name": "evil"},
    "evil.Net": {},
    "hydra.utils.instantiate": {"config": {"_target_": "os.system", "command": TOUCH}},
    "hydra.utils.call": {"config": {"_target_": "os.mkdir", "path": MARK}},
    "hydra.utils.get_class": {"path": "evil.Net"},
    "binlit.catalogue.build.build": {"node": {"_target_": "os.system", "command": TOUCH}},
    "torch.utils.tensorboard.SummaryWriter": {"log_dir": MARK},
}
PLACES = (
    "dataset", "model", "estimator", "anneal", "task", "optimizer", "scheduler", "trainer", "weight",
    "weight.estimator", "callbacks.best", "callbacks.more", "logger.more",
)  # fmt: skip
# known: under the name of the option that was trained with. own: under a name that binlit does not have, whose keys it
# cannot check. nested: as a value within the option. partial: to be called later.
SHAPES = ("known", "own", "nested", "partial")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (TOUCH,)


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    cases = [(place, "own", "os.system", way) for place in PLACES for way in ("evaluate", "resume")]
    for target in TARGETS:
        cases += [
            (chance.choice(PLACES), chance.choice(SHAPES), target, chance.choice(WAYS)),
            (chance.choice(("dataset", "model", "task", "estimator")), "own", target, chance.choice(WAYS)),
        ]
    for place, shape, target, way in dict.fromkeys(cases):

        def config(folder: Path, place: str = place, shape: str = shape, target: str = target, way: str = way):
            lay_bait(folder)
            return attacked(way, ground, folder, lambda path: _rewrite(path, place, shape, target))

        yield Try(f"{target} as {place} ({shape}), {way}", config)
    for way in WAYS:

        def payload(folder: Path, way: str = way):
            return attacked(way, ground, folder, lambda path: _pickle(path))

        yield Try(f"pickled code, {way}", payload)
    for name, words in {
        "evaluate": ["evaluate", "checkpoint=outputs/s", "binary.eval=threshold", "threads=1"],
        "report": ["report", "outputs/s", "--sites", "--passes"],
        "train": ["train", *LONGER, "hydra.run.dir=outputs/s/{run}"],
    }.items():
        for target in ("os.system", "evil.Net"):

            def record(folder: Path, words: list[str] = words, target: str = target):
                return _in_record(ground, folder, words, target)

            yield Try(f"{target} in a record, {name}", record)


def hostile(config: dict[str, Any], place: str, shape: str, target: str) -> dict[str, Any]:
    """The config with something to be called at a place."""
    config = copy.deepcopy(config)
    *above, last = place.split(".")
    group = config
    for name in above:
        group = group.setdefault(name, {})
    call = {"_target_": target, **TARGETS[target]}
    node = group.get(last) or {"name": last}
    if shape == "nested":
        group[last] = node | {"extra": call, next(iter(node)): call if place == "trainer" else node[next(iter(node))]}
    elif shape == "own":
        group[last] = ({} if place.startswith(("callbacks", "logger")) else {"name": "mine"}) | call
    else:
        group[last] = node | call | ({"_partial_": True} if shape == "partial" else {})
    return config


def lay_bait(folder: Path) -> None:
    """Files that leave the mark when they are imported, run or unpickled."""
    import numpy as np

    code = f"open({MARK!r}, 'w')\ndependencies = []\nclass Net: pass\n"
    for name in ("evil.py", "hubconf.py"):
        (folder / name).write_text(code)
    (folder / "evil.pickle").write_bytes(pickle.dumps(Evil(), protocol=2))
    np.save(folder / "evil.npy", np.array([Evil()], object), allow_pickle=True)


def _rewrite(path: Path, place: str, shape: str, target: str) -> None:
    import torch

    saved = torch.load(path, weights_only=True)
    torch.save(saved | {"config": hostile(saved["config"], place, shape, target)}, path)


def _pickle(path: Path) -> None:
    import torch

    torch.save({"config": {}, "state_dict": Evil(), "epoch": 0}, path)


def _in_record(ground: Ground, folder: Path, words: list[str], target: str) -> Iterator[str]:
    outputs = ground.copy(folder, "s")
    lay_bait(folder)
    for path in outputs.glob("s/*/result.json"):
        record = json.loads(path.read_text())
        for place in PLACES:
            record["config"] = hostile(record["config"], place, "own", target)
        path.write_text(json.dumps(record))
    ended = run(folder, words[0], *(word.format(run=ground.drawn.name) for word in words[1:]))
    yield from unhurt(ended, ground.peak[words[0]])
    yield from untouched(folder)
