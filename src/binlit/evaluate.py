"""Tests a trained net again, with another way to make the bit at test time.

python -m binlit.evaluate checkpoint=outputs/mnist/RUN/checkpoints/best.ckpt binary.eval=threshold
python -m binlit.evaluate checkpoint=... binary.eval=mean binary.eval_draws=20
python -m binlit.evaluate checkpoint=... weight.eval=latent                              with the real weights
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from binlit.cli import USAGE_ERROR, complain, run_hydra
from binlit.config import Config, ConfigError, check, chosen_weights, nearest

SETTINGS = ("checkpoint", "binary", "weight", "data_dir", "seed", "threads")


def main() -> None:
    run_hydra(job, config_name="evaluate")


def job(cfg: DictConfig) -> float:
    """One test; prints the result, appends it to evaluations.jsonl beside the run's record, returns the accuracy."""
    from binlit.dataset.errors import DataError
    from binlit.results.checkpoint import read_checkpoint

    try:
        asked = _checked(cfg)
        path = Path(asked["checkpoint"])
        saved = read_checkpoint(path)
        config = with_evaluation(saved["config"], asked)
        metrics = evaluate(config, saved["state_dict"])
    except (ConfigError, DataError) as error:
        complain(error)
        raise SystemExit(USAGE_ERROR) from None
    binary = config["binary"]
    way = binary["eval"] + (f" over {binary['eval_draws']} draws" if binary["eval"] == "mean" else "")
    weights = {"weight.eval": config["weight"]["eval"]} if chosen_weights(config) else {}
    way += "".join(f", {key}={value}" for key, value in weights.items())
    result = f"test accuracy {100 * metrics['test/acc']:.2f} %, loss {metrics['test/loss']:.4f}"
    print(f"{path}, {way}, seed {config['seed']}: {result}")
    if path.parent.name == "checkpoints":
        line = {
            "checkpoint": path.name,
            "eval": binary["eval"],
            "eval_draws": binary["eval_draws"],
            "seed": config["seed"],
        } | weights
        with (path.parents[1] / "evaluations.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(line | {"metrics": metrics}) + "\n")
    return metrics["test/acc"]


def evaluate(cfg: Config, state: dict[str, Any]) -> dict[str, float]:
    """The test metrics, under `cfg`, of the task with the weights and slopes of `state`."""
    from binlit.build import build_data, build_task, build_trainer, set_threads
    from binlit.results.summary import quiet_lightning

    quiet_lightning()
    set_threads(cfg["threads"], in_sweep=False)
    data, task = build_data(cfg), build_task(cfg)
    task.load_state_dict(state)
    trainer = build_trainer({**cfg, "callbacks": {}, "logger": {}}, Path(), quiet=True)  # nothing is written
    tested = trainer.test(task, datamodule=data, verbose=False)[0]
    return {name: float(value) for name, value in tested.items()} | {"test/n": task.examples["test"]}


def with_evaluation(cfg: Config, asked: Config) -> Config:
    """The run's config with what was asked for put in, checked again."""
    binary = {name: value for name, value in asked["binary"].items() if value is not None}
    if binary.get("eval") == "mean" and "eval_draws" not in binary:
        binary["eval_draws"] = max(10, cfg["binary"]["eval_draws"])
    elif binary.get("eval", "mean") != "mean" and "eval_draws" not in binary:
        binary["eval_draws"] = 1
    changed = {**cfg, "binary": {**cfg["binary"], **binary}, "threads": asked["threads"], "data_dir": asked["data_dir"]}
    if "data_dir" in cfg["dataset"]:
        changed["dataset"] = {**cfg["dataset"], "data_dir": asked["data_dir"]}
    if (way := asked["weight"]["eval"]) is not None:
        if not chosen_weights(cfg):
            raise ConfigError(f"weight.eval={way} has no effect: this net has no binary weights; leave it out")
        changed["weight"] = {**cfg["weight"], "eval": way}
    if asked["seed"] is not None:  # of the draws; the split keeps dataset.seed
        changed["seed"] = asked["seed"]
    return check(changed)


def _checked(cfg: DictConfig) -> Config:
    """The command line's settings as plain containers.

    Raises:
        ConfigError: checkpoint is missing, or a setting does not exist.
    """
    if OmegaConf.is_missing(cfg, "checkpoint"):
        raise ConfigError("checkpoint is missing; write checkpoint=outputs/NAME/RUN/checkpoints/best.ckpt")
    asked: Any = OmegaConf.to_container(cfg, resolve=True)
    for key in asked:
        if key not in SETTINGS:
            near = nearest(key, SETTINGS)
            raise ConfigError(f"there is no setting '{key}'" + (f"; did you mean {near}?" if near else ""))
    return asked


if __name__ == "__main__":
    from binlit.evaluate import main as imported  # as in binlit.train

    imported()
