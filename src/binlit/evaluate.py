"""Tests trained nets again, with another way to make the bit at test time.

python -m binlit.evaluate checkpoint=outputs/mnist/RUN/checkpoints/best.ckpt binary.eval=threshold
python -m binlit.evaluate checkpoint=... binary.eval=mean binary.eval_draws=20
python -m binlit.evaluate checkpoint=... weight.eval=latent                              with the real weights
python -m binlit.evaluate checkpoint=... dataset.way=20 dataset.shot=5                  other few-shot episodes
python -m binlit.evaluate checkpoint=outputs/mnist_table binary.eval=mean binary.eval_draws=20      all runs of a table
python -m binlit.evaluate checkpoint=... trust=[my.module.Net]                             a net of your own class

A checkpoint's config names the classes that are built. Other classes than binlit's own options name are refused, unless
`trust` names them, or an option in a folder of yours that is given by -cd.

Results are printed and appended to evaluations.jsonl beside the run's record, where binlit.report finds them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from binlit.callbacks.options import tested_checkpoint
from binlit.catalogue import Config, facts_of, packaged
from binlit.catalogue.trust import check_classes, own_classes
from binlit.command.entry import USAGE_ERROR, run_hydra
from binlit.command.trained_nets import check_evaluation
from binlit.config import check
from binlit.config.layers import chosen_layers, chosen_weights
from binlit.errors import ConfigError, complain
from binlit.files import refusal
from binlit.paths import EVALUATIONS
from binlit.running.cost import too_large
from binlit.running.quick_import import load_libraries
from binlit.stopping import stopped_by_signals


def main() -> None:
    with stopped_by_signals():
        run_hydra(job, config_name="evaluate")


def job(cfg: DictConfig) -> float:
    """Tests the checkpoint, or all runs of a folder; returns the accuracy, the mean of several."""
    asked = check_evaluation(cfg)
    source = Path(asked["checkpoint"])
    paths = _concerned(source, asked) if source.is_dir() else None
    if paths is None and (config := config_beside(source)) is not None:
        with_evaluation(config, asked)
    load_libraries()  # what is wrong at first sight was answered without it
    from binlit.dataset.errors import DataError

    try:
        accuracy, well = _test_each(paths, asked) if paths is not None else _test(source, asked)
    except (ConfigError, DataError) as error:
        complain(error)
        raise SystemExit(USAGE_ERROR) from None
    if not well:
        raise SystemExit(1)
    return accuracy


def config_beside(path: Path) -> Config | None:
    """The config in the record beside a checkpoint, read without torch; None where none would pass today."""
    from binlit.results.record import read_record

    record = read_record(path.absolute().parents[1]) if path.parent.name == "checkpoints" else None
    try:
        return check(with_folders(record["config"])) if record and isinstance(record.get("config"), dict) else None
    except ConfigError:
        return None


def with_folders(cfg: Config) -> Config:
    """A record's config with stand-ins for the folders that records leave out."""
    data, known = cfg["dataset"], packaged("dataset").get(cfg["dataset"].get("name"))
    reads = known is not None and "data_dir" in known.ranges
    return {
        "output_dir": "outputs",
        "data_dir": "data",
        **cfg,
        "dataset": {"data_dir": "data", **data} if reads else data,
    }


def _test(path: Path, asked: Config, again: bool = True) -> tuple[float, bool]:
    """One test, printed and then appended to evaluations.jsonl beside the run's record.

    With again=False a run that was tested so before is not tested again.

    Returns:
        The accuracy, and whether the result could be kept; where not, standard error says why.
    """
    from binlit.results.record import FOUND, asked_of, keep_evaluation, read_evaluations
    from binlit.running.announce import tested_text
    from binlit.running.checkpoint import about, named, read_checkpoint

    saved = read_checkpoint(path)
    for name in check_classes(saved["config"], path, own_classes(asked["trust"])):
        print(f"{path}: builds {name}, which is none of binlit's", flush=True)
    with about(path):
        config = with_evaluation(saved["config"], asked)
    binary = config["binary"]
    line = {"checkpoint": path.name, "eval": binary["eval"], "eval_draws": binary["eval_draws"], "seed": config["seed"]}
    way = binary["eval"] + (f" over {binary['eval_draws']} draws" if binary["eval"] == "mean" else "")
    if chosen_weights(config):
        line["weight.eval"] = config["weight"]["eval"]
        way += f", weight.eval={line['weight.eval']}"
    if episodes := _episodes(asked):
        line["episodes"] = {name: config["dataset"][name] for name in asked["dataset"]}
        way += "".join(f", dataset.{name}={value}" for name, value in episodes.items())
    run = path.parents[1] if path.parent.name == "checkpoints" else None
    before = read_evaluations(run) if run else []
    before = [old for old in before if asked_of(old) == line and ("counts" in old or not episodes)]
    known = [{name: old[name] for name in FOUND if name in old} for old in before]
    try:
        found = evaluate(config, saved["state_dict"]) if again or not known else known[0]
    except ConfigError as error:
        raise named(error, path) from error
    print(f"{path}, {way}, seed {config['seed']}: {tested_text(found['metrics'])}", flush=True)
    if run and found not in known:
        try:
            keep_evaluation(run, line | found)
        except OSError as error:
            complain(f"the result above is not kept in {EVALUATIONS}: {refusal(error, run, 'write it down')}")
            return found["metrics"]["test/acc"], False
    return found["metrics"]["test/acc"], True


def _concerned(source: Path, asked: Config) -> list[Path]:
    """The tested checkpoint of every finished run under a folder on which the question has a bearing.

    Raises:
        ConfigError: nothing was asked for, there is no finished run, or none on which it has a bearing.
        SystemExit: some checkpoints cannot be used; they are named once the others are tested.
    """
    from binlit.results.record import read_runs

    bits, weights, episodes = asked["binary"]["eval"], asked["weight"]["eval"], _episodes(asked)
    if bits is None and weights is None and not episodes:
        raise ConfigError(
            f"nothing to test anew in {source}: add binary.eval=threshold, or binary.eval=mean binary.eval_draws=20"
        )
    runs = {folder: record["config"] for folder, record in read_runs(source) if record["status"] == "ok"}
    runs = {folder: config for folder, config in runs.items() if not config["trainer"].get("fast_dev_run")}
    if not runs:
        raise ConfigError(f"there is no finished run under {source}: train one into it first")
    concerned = [
        folder / "checkpoints" / tested_checkpoint(config)
        for folder, config in runs.items()
        if _concerns(config, bits, weights, bool(episodes))
    ]
    if not concerned:
        raise ConfigError(
            f"nothing to test anew in {source}: none of its {len(runs)} runs "
            + ("draws bits at a layer" if bits else "has binary weights" if weights else "is about episodes")
        )
    print(f"{len(runs)} runs, {len(concerned)} of them tested in another way", flush=True)
    return concerned


def _test_each(paths: list[Path], asked: Config) -> tuple[float, bool]:
    """Tests the checkpoints; one that cannot be tested is named, and the others are tested.

    Returns:
        The mean accuracy, and whether all went well.
    """
    from binlit.dataset.errors import DataError

    accuracies, wrong, kept = [], Counter(), True
    for path in paths:
        try:
            accuracy, well = _test(path, asked, again=False)
        except Exception as error:  # whatever a damaged run brings about: the others are tested
            said = str(error) if isinstance(error, ConfigError | DataError) else f"{type(error).__name__}: {error}"
            wrong[said] += 1
            if wrong[said] == 1:
                complain(said if str(path) in said else f"{path}: {said}")
        else:
            accuracies.append(accuracy)
            kept = kept and well
    if wrong:
        complain(f"{wrong.total()} of {len(paths)} runs could not be tested")
    if not accuracies:
        raise SystemExit(USAGE_ERROR)
    return sum(accuracies) / len(accuracies), kept and not wrong


def _concerns(config: Config, bits: str | None, weights: str | None, episodes: bool) -> bool:
    """Whether another way of testing can change what a run of this config found."""
    if episodes:
        return _takes_episodes(config)
    binary, weight = config["binary"], config.get("weight", {})
    return bool(
        (weights is not None and chosen_weights(config))
        or (bits is not None and chosen_layers(config) and binary.get("mode") == "stochastic")
        or (bits == "mean" and chosen_weights(config) and weight.get("eval") == "sample")
    )


def evaluate(cfg: Config, state: dict[str, Any]) -> dict[str, Any]:
    """What a test under `cfg` of the task with the weights and slopes of `state` finds.

    Returns:
        `metrics`; for few-shot learning also `counts`: {kind of episode: right answers in each episode}.
    """
    from binlit.running.announce import finite, quiet_lightning
    from binlit.running.build import build_data, build_task, build_trainer, set_threads
    from binlit.running.checkpoint import load_weights

    quiet_lightning()
    set_threads(cfg["threads"])
    data, task = build_data(cfg), build_task(cfg)
    load_weights(task, state)
    here = cfg["trainer"] | {"accelerator": "auto"}  # not the device of the training
    trainer = build_trainer({**cfg, "trainer": here, "callbacks": {}, "logger": {}}, Path(), quiet=True)
    tested = trainer.test(task, datamodule=data, verbose=False)[0]
    metrics = {name: finite(float(value)) for name, value in tested.items()} | {"test/n": task.examples("test")}
    counts = task.tested.get("episodes")
    return {"metrics": metrics} | ({"counts": counts} if counts else {})


def with_evaluation(cfg: Config, asked: Config) -> Config:
    """The run's config with what was asked for put in, checked again."""
    binary = {name: value for name, value in asked["binary"].items() if value is not None}
    if binary.get("eval") == "mean" and "eval_draws" not in binary:
        binary["eval_draws"] = max(10, cfg["binary"]["eval_draws"])
    elif binary.get("eval", "mean") != "mean" and "eval_draws" not in binary:
        binary["eval_draws"] = 1
    changed = {**cfg, "binary": {**cfg["binary"], **binary}, "threads": asked["threads"], "data_dir": asked["data_dir"]}
    episodes = _episodes(asked)
    if episodes and not _takes_episodes(cfg):
        name, value = next(iter(episodes.items()))
        raise ConfigError(f"dataset.{name}={value} has no effect: this net was not trained by episodes; leave it out")
    changed["dataset"] = cfg["dataset"] | (episodes | {"also": []} if episodes else {})
    if "data_dir" in cfg["dataset"]:
        changed["dataset"]["data_dir"] = asked["data_dir"]
    if (way := asked["weight"]["eval"]) is not None:
        if not chosen_weights(cfg):
            raise ConfigError(f"weight.eval={way} has no effect: this net has no binary weights; leave it out")
        changed["weight"] = {**cfg["weight"], "eval": way}
    if asked["seed"] is not None:  # of the draws; the split keeps dataset.seed
        changed["seed"] = asked["seed"]
    checked = check(changed)
    for problem in too_large(checked, training=False):
        raise ConfigError(problem)
    return checked


def _takes_episodes(cfg: Config) -> bool:
    return "task" in cfg and facts_of(cfg, "task").takes.get("data") == "episodes"


def _episodes(asked: Config) -> Config:
    """What was asked for of the test episodes."""
    return {name: value for name, value in asked["dataset"].items() if value is not None}


if __name__ == "__main__":
    from binlit.evaluate import main as imported  # as in binlit.train

    imported()
