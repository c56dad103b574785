"""Which jobs are one training, and differ in how the net is tested alone. Free of torch."""

from __future__ import annotations

import copy

from binlit.callbacks.options import keeps_checkpoints, only_watches
from binlit.catalogue import Config, facts_of
from binlit.config.layers import chosen_layers
from binlit.config.outcome import fingerprint

CHOOSES_AN_EPOCH = {"_target_", "filename", "monitor", "mode", "enable_version_counter", "save_on_train_epoch_end"}


def training_of(cfg: Config) -> str | None:
    """A fingerprint of the training: equal for two runs that differ in nothing but the evaluation of their nets.

    A score function draws its bits in training in both modes, so that there the mode says only how bits are made in
    evaluation.

    Returns:
        None where the training depends on what validation finds (early stopping), or may, or does not begin afresh.
    """
    trainer = cfg["trainer"]
    within = trainer.get("val_check_interval") not in (
        None,
        1.0,
    )  # chance goes on from one part of an epoch to the next
    if trainer.get("fast_dev_run") or cfg["ckpt_path"] is not None or within:
        return None
    if not all(only_watches(node) or _chooses_an_epoch(node) for node in cfg["callbacks"].values() if node):
        return None
    shared = copy.deepcopy(cfg)
    shared["binary"] |= {"eval": "auto", "eval_draws": 1}
    if chosen_layers(cfg) and facts_of(cfg, "estimator").kind == "score_function":
        shared["binary"]["mode"] = "stochastic"
    if shared.get("weight"):
        shared["weight"] |= {"eval": "threshold"}
    return fingerprint(shared)


def _chooses_an_epoch(callback: Config) -> bool:
    """Whether it keeps the last epoch, or the best by one metric, and no more than that."""
    return keeps_checkpoints(callback) and callback.keys() <= CHOOSES_AN_EPOCH
