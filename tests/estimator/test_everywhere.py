"""Every estimator in the surroundings that users have: vmap over seeds, compile, autocast, float64, BatchNorm."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from binlit import Step, binarize
from binlit.estimator import ESTIMATORS, StepError

PATHWISE = [name for name, rule in ESTIMATORS.items() if not rule.score_function]
DIFFERENTIATING = [name for name, rule in ESTIMATORS.items() if rule.differentiates]


def net_with(name: str, layers: Any = "all", norm: bool = False, **options: Any) -> Any:
    torch.manual_seed(2)
    layer = nn.BatchNorm1d(6) if norm else nn.Identity()
    net = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 6), layer, nn.Sigmoid(), nn.Linear(6, 3))
    return binarize(net, layers, name, example=torch.zeros(2, 4), **options)


X, Y = torch.randn(32, 4, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 3


def loss_of(net: nn.Module, x: torch.Tensor = X) -> torch.Tensor:
    with Step(net) as step:
        out = net(step.inputs(x))
        return step.loss(F.cross_entropy(out, step.targets(Y), reduction="none"))


class LossOf(nn.Module):
    """A net's loss as a module, so that torch.func can put other weights into it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return loss_of(self.net, x)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_layers_below_both_sites_learn_in_every_precision(name):
    for dtype in (torch.float32, torch.float64):
        net = net_with(name).to(dtype)
        loss_of(net, X.to(dtype)).backward()
        reached = [net[i].weight.grad is not None and bool(net[i].weight.grad.abs().sum() > 0) for i in (0, 2, 5)]
        assert reached == ([False, False, True] if name == "detached" else [True] * 3)
    net = net_with(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(net)
    loss.backward()
    assert net[5].weight.grad.isfinite().all()
    assert name == "detached" or (net[0].weight.grad.isfinite().all() and net[0].weight.grad.abs().sum() > 0)


@pytest.mark.parametrize("name", [n for n in ESTIMATORS if n not in DIFFERENTIATING])
def test_vmap_over_seeds(name):
    """Three nets of different weights trained at once; each one's gradient has the size of its own."""
    nets = [net_with(name) for _ in range(3)]
    for i, net in enumerate(nets):
        net[0].weight.data += 0.1 * i
    parameters, buffers = stack_module_state(nets)  # type: ignore[arg-type]
    module = LossOf(copy.deepcopy(nets[0]))

    def one(weights: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> torch.Tensor:
        named = {f"net.{key}": value for key, value in {**weights, **state}.items()}
        return functional_call(module, named, (X,))

    found = vmap(grad(one), randomness="different")(parameters, buffers)
    assert found["0.weight"].shape == (3, 8, 4)
    assert found["5.weight"].isfinite().all()
    assert (found["5.weight"].flatten(1).norm(dim=1) > 0).all()
    if name != "detached":
        assert (found["0.weight"].flatten(1).norm(dim=1) > 0).all()
        assert not torch.equal(found["0.weight"][0], found["0.weight"][1])


@pytest.mark.parametrize("name", DIFFERENTIATING)
def test_a_control_variate_says_that_it_cannot_be_mapped(name):
    net = net_with(name)
    state = dict(net.named_parameters())

    module = LossOf(net)
    with pytest.raises(StepError, match=r"torch\.func"):
        grad(lambda w: functional_call(module, {f"net.{k}": v for k, v in w.items()}, (X,)))(state)


@pytest.mark.parametrize("name", PATHWISE)
def test_compiled_pathwise_rules_give_the_same(name):
    """Same graph, traced: one piece, no break. The eager backend keeps the random numbers."""
    torch._dynamo.reset()
    net = net_with(name)
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    outs = []
    for run in (net, compiled):
        torch.manual_seed(5)
        net.zero_grad()
        out = run(X)
        F.cross_entropy(out, Y).backward()
        outs.append((out.detach(), net[5].weight.grad.clone(), net[0].weight.grad))
    assert torch.allclose(outs[0][0], outs[1][0], atol=1e-5)
    assert torch.allclose(outs[0][1], outs[1][1], atol=1e-5)


@pytest.mark.parametrize("name", ["muprop", "rebar", "relax"])
def test_auxiliary_rows_leave_batchnorm_to_the_drawn_ones(name):
    """Running statistics are those of the bits alone: the net that is tested meets no relaxed values."""
    net = net_with(name, layers=[1], norm=True)
    norm = net[3]
    seen: list[torch.Tensor] = []
    net[2].register_forward_hook(lambda module, args, output: seen.append(output.detach()))
    loss_of(net).backward()
    drawn = seen[0][: len(X)]
    assert seen[0].shape[0] == 2 * len(X)
    assert torch.allclose(norm.running_mean, 0.1 * drawn.mean(0), atol=1e-6)
    assert norm.num_batches_tracked == 1
    assert not norm._forward_hooks
    assert not norm._forward_pre_hooks


@pytest.mark.parametrize("name", ["nvil", "rebar", "relax", "rodeo"])
def test_learned_parts_learn_and_are_saved(name):
    options: dict[str, Any] = {} if name == "nvil" else {"tune_every": 1}
    net = net_with(name, **options)
    rule = net[1].estimator
    own = {id(p) for p in rule.parameters()}
    before = copy.deepcopy(rule.state_dict())
    optimizer = torch.optim.Adam(
        [{"params": [p for p in net.parameters() if id(p) not in own]}, {"params": list(rule.parameters()), "lr": 0.05}]
    )
    for _ in range(20):
        optimizer.zero_grad()
        loss_of(net).backward()
        optimizer.step()
    moved = [key for key, value in rule.state_dict().items() if not torch.equal(value, before[key])]
    assert set(moved) >= {key for key, _ in rule.named_parameters() if "layers.2" not in key}, moved
    stored = io.BytesIO()
    torch.save(net.state_dict(), stored)
    stored.seek(0)
    other = net_with(name, **options)
    other.load_state_dict(torch.load(stored, weights_only=True))
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), net.parameters(), strict=True))


@pytest.mark.parametrize("name", ["nvil", "relax"])
def test_a_learned_baseline_needs_an_example(name):
    net = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 3))
    with pytest.raises(ValueError, match="example=x"):
        binarize(net, "all", name)
