"""The keys of a run that belong to no option of a group, and which values they take (see `binlit.catalogue.ranges`)."""

from __future__ import annotations

LAYERS = "integer | text | null | any integer | text"

RUN = {
    "name": "text",
    "seed": "integer >= 0 < 4294967296",
    "threads": "auto | integer >= 1",
    "output_dir": "text",
    "data_dir": "text",
    "resume": "bool",
    "ckpt_path": "text | null",
    "passes": "null | integer >= 1 | some integer >= 1",
    "row": "settings",
    "dataset": "settings",
    "model": "settings",
    "binary": "settings",
    "weight": "settings",
    "estimator": "settings",
    "anneal": "settings",
    "task": "settings",
    "optimizer": "settings",
    "scheduler": "settings",
    "trainer": "settings",
    "callbacks": "settings",
    "logger": "settings",
}
# Where the net is binary, and how the bit is made and tested.
BINARY = {
    "layer": LAYERS,
    "weights": LAYERS,
    "mode": "stochastic | deterministic",
    "surrogate": "hard_sigmoid | hard_tanh | logistic",
    "levels": "'01' | pm1",
    "threshold": "number",
    "share": "number > 0 <= 1",  # of a site's channels
    "eval": "auto | sample | threshold | mean",
    "eval_draws": "integer >= 1",
}
# Records from before a key was there lack it.
LATER = {"passes": None, "weight": None}
LATER_BINARY = {"weights": None, "share": 1.0}
