"""The functions that conf/ may call, as in `lr: ${for_estimator:{score_function:0.03},0.1}`.

Registered on import, so that a launcher's worker process has them as well. The configs that they are given need not
have been checked.
"""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from binlit.binary.layers import no_layer
from binlit.config.check import check
from binlit.config.layers import binary_embedding
from binlit.config.outcome import run_folder


def for_estimator(table: Any, default: Any, *, _root_: Any) -> Any:
    """`${for_estimator:{reinforce:0.01,score_function:0.03},0.1}` looks up the estimator's name, then its kind.

    The default where neither is listed, and where no layer is binary, so that no estimator is at work.
    """
    if no_layer(_root_["binary"]["layer"]):
        return default
    chosen = _root_["estimator"]
    return next((table[key] for key in (chosen.get("name"), chosen.get("kind")) if key in table), default)


def draws_for(own: int, each: int, *, _root_: Any) -> int | list[int]:
    """`${passes:4,2}`: how many draws cost the run's `passes` passes of the batch at 2 passes apiece; 4 for null.

    A list of passes, one count for each site, gives a list.
    """
    passes = _root_.passes
    if passes is None:
        return own
    return max(1, passes // each) if isinstance(passes, int) else [max(1, count // each) for count in passes]


def scale_of_bits(each: float, *, _root_: Any) -> float | None:
    """`${scale_of_bits:0.33}`: the scale of squared distances at which two embeddings are 0.33 apart for a bit.

    None where embeddings are not binary, or the distance is another.
    """
    if not binary_embedding(_root_) or _root_["task"].get("distance") != "squared_l2":
        return None
    return each / 4 if _root_["binary"]["levels"] == "pm1" else each  # -1 and 1 are 4 apart when squared, 0 and 1 are 1


RESOLVERS = {
    "run_folder": lambda *, _root_: run_folder(check(_root_)),
    "for_estimator": for_estimator,
    "passes": draws_for,
    "scale_of_bits": scale_of_bits,
    # `${by:${weight.mode},{deterministic:0.2},0.0}` looks a key up in a table, with a default for others.
    "by": lambda key, table, default: table.get(key, default) if isinstance(key, str | int) else default,
    # `${given:${binary.weights},0.0,0.5}` is the first where there is a choice, however it is written, else the second.
    "given": lambda choice, yes, no: no if no_layer(choice) else yes,
    # `${binary_embedding:0.003,0.001}` is the first where the net's last site is binary, else the second.
    "binary_embedding": lambda yes, no, *, _root_: yes if binary_embedding(_root_) else no,
    # `${decay:0.0001,${trainer.max_epochs}}` is the factor of an epoch that comes to 0.0001 after all of them.
    "decay": lambda whole, epochs: whole ** (1 / epochs),
}
for name, function in RESOLVERS.items():
    OmegaConf.register_new_resolver(name, function, replace=True)
