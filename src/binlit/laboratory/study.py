"""A study: every chosen estimator on every net and toy, one record each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from typing import Any

from torch import Tensor

from binlit.catalogue import Config
from binlit.catalogue.build import build
from binlit.estimator import Estimator
from binlit.laboratory.measurement import measure, train_exactly
from binlit.laboratory.net import examples, small_net
from binlit.laboratory.settings import estimator_node
from binlit.laboratory.toy import descend
from binlit.results.record import commit, finite, hardware, versions

Record = dict[str, Any]
POINTS = 100  # of a toy's curve, that are kept


def measurements(study: Config) -> list[Callable[[], Record]]:
    """What is to be run, each giving a record with `kind` "enumeration" or "toy"."""

    @cache
    def weights(units: tuple[int, ...], steps: int, surrogate: str) -> list[tuple[Tensor, Tensor]]:
        fresh = small_net(units, study["inputs"], study["seed"])
        x, y = examples(study["inputs"], study["examples"], study["seed"])
        return train_exactly(fresh, Estimator(), surrogate, x, y, steps) if steps else fresh

    jobs: list[Callable[[], Record]] = []
    for units in study["units"]:
        for steps in study["steps"]:
            jobs += [partial(_enumerated, study, name, tuple(units), steps, weights) for name in study["estimators"]]
    for target in study["toys"]["targets"]:
        jobs += [partial(_toy, study, name, target) for name in study["estimators"]]
    return jobs


def _fresh(study: Config, name: str) -> tuple[Estimator, Config]:
    node = estimator_node(name, study["options"].get(name, {}))
    estimator: Estimator = build(node, without=("name", "surrogate"))
    estimator.begin_epoch(study["epoch"])
    return estimator, node


def _enumerated(study: Config, name: str, units: tuple[int, ...], steps: int, weights: Any) -> Record:
    estimator, node = _fresh(study, name)
    x, y = examples(study["inputs"], study["examples"], study["seed"])
    whole, layers = measure(
        estimator,
        node["surrogate"],
        weights(units, steps, "logistic" if node["surrogate"] == "logistic" else "hard_sigmoid"),
        x,
        y,
        study["draws"],
        study["settle"],
        study["seed"],
    )
    figures = {key: finite(value) for key, value in asdict(whole).items()} | {
        "variance_at_equal_cost": whole.variance_at_equal_cost
    }
    kept = ("bias", "bias_error", "variance", "cosine")
    return _record(study, name, node) | {
        "kind": "enumeration",
        "units": list(units),
        "steps": steps,
        "metrics": figures,
        "layers": [{key: finite(asdict(layer)[key]) for key in kept} for layer in layers],
    }


def _toy(study: Config, name: str, target: float) -> Record:
    estimator, node = _fresh(study, name)
    toys = study["toys"]
    path = descend(
        estimator, node["surrogate"], target, toys["steps"], toys["copies"], rate=toys["rate"], seed=study["seed"]
    )
    stride = max(1, toys["steps"] // POINTS)
    return _record(study, name, node) | {
        "kind": "toy",
        "target": target,
        "stride": stride,
        "curve": [round(p, 5) for p in path[::stride].tolist()],
        "metrics": {"p": float(path[-1])},
    }


def _record(study: Config, name: str, node: Config) -> Record:
    plain = {key: value for key, value in study.items() if key not in ("output_dir", "threads", "estimators")}
    return {
        "estimator": name,
        "options": {key: value for key, value in node.items() if key not in ("name", "_target_")},
        "config": plain,
        "versions": versions(),
        "commit": commit(),
        "hardware": hardware("cpu"),
    }
