"""What a training step of a record's net costs, counted on the net itself."""

from __future__ import annotations

import torch

from binlit.catalogue.trust import check_classes
from binlit.dataset.sizes import image_size
from binlit.estimator import Step
from binlit.results.record import Record, portable
from binlit.running.build import build_net


def passes_of(record: Record) -> int:
    """Copies of the batch that leave the net of this record's config in one training step.

    Raises:
        ConfigError: the config names a class that is none of binlit's options.
    """
    check_classes(record["config"], f"the record of {record['experiment']}", remedy="leave out --passes")
    net = build_net(portable(record["config"])).train()
    side = image_size(record["config"]["dataset"])
    x = torch.zeros(2, 1, side, side)
    with torch.no_grad(), Step(net) as step:
        return len(net(step.inputs(x))) // len(x)
