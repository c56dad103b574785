"""Settings of an optimizer that do not go together. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable

from binlit.catalogue import Config


def contradictions(node: Config) -> Iterable[str]:
    """Settings with which weights vanish, or which torch refuses."""
    lr, decay = node.get("lr", 0), node.get("weight_decay", 0)
    if lr * decay > 0.1:
        yield (
            f"optimizer.lr={lr} with optimizer.weight_decay={decay} takes away {lr * decay:.0%} of each weight at "
            "every step; give smaller ones"
        )
    if node.get("nesterov") and not node.get("momentum"):
        yield f"optimizer.nesterov=true needs momentum, and optimizer.momentum={node.get('momentum')}; write 0.9"
    betas = node.get("betas", [])
    if any(type(value) is int for value in betas):
        yield f"optimizer.betas={betas} is not allowed: write them with a point, {[float(value) for value in betas]}"
