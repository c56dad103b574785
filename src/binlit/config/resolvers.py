"""The functions that conf/ may call, as in `lr: ${for_estimator:{score_function:0.03},0.1}`.

Registered on import, so that a launcher's worker process has them as well.
"""

from __future__ import annotations

from omegaconf import OmegaConf

from binlit.config.check import check
from binlit.config.identity import run_folder
from binlit.config.read import binary_embedding, draws_for, for_estimator, no_choice, scale_of_bits

# `${run_folder:}` names the run's folder. Registered on import, so that a launcher's worker process has it as well.
OmegaConf.register_new_resolver("run_folder", lambda *, _root_: run_folder(check(_root_)), replace=True)
# `${by:${weight.mode},{deterministic:0.2},0.0}` looks a key up in a table, with a default behind it.
OmegaConf.register_new_resolver(
    "by", lambda key, table, default: table.get(key, default) if isinstance(key, str | int) else default, replace=True
)
# `${for_estimator:{reinforce:0.01,score_function:0.03},0.1}` looks up the estimator's name, then its kind; the default
# where neither is listed, and where no layer is binary, so that no estimator is at work.
OmegaConf.register_new_resolver(
    "for_estimator", lambda table, default, *, _root_: for_estimator(_root_, table, default), replace=True
)
# `${passes:4,2}` is how often an estimator draws: so many times as the run's `passes` allow at 2 passes each, else 4.
OmegaConf.register_new_resolver(
    "passes", lambda own, each, *, _root_: draws_for(_root_.passes, own, each), replace=True
)
# `${given:${binary.weights},0.0,0.5}` is the first where there is a choice, however it is written, else the second.
OmegaConf.register_new_resolver("given", lambda choice, yes, no: no if no_choice(choice) else yes, replace=True)
# `${binary_embedding:0.003,0.001}` is the first where the net's last site is binary, else the second.
OmegaConf.register_new_resolver(
    "binary_embedding", lambda yes, no, *, _root_: yes if binary_embedding(_root_) else no, replace=True
)
# `${scale_of_bits:0.33}` is task.scale where embeddings are bits: 0.33 for each in which two of them differ.
OmegaConf.register_new_resolver("scale_of_bits", lambda each, *, _root_: scale_of_bits(_root_, each), replace=True)
# `${decay:0.0001,${trainer.max_epochs}}` is the factor of an epoch that comes to 0.0001 after all of them.
OmegaConf.register_new_resolver("decay", lambda whole, epochs: whole ** (1 / epochs), replace=True)
