"""From Python: three lines make any module binary, in a training loop of one's own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import binlit
from binlit.estimator.step import StepError


def own_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(512, 20)
    return x, (x[:, :5].sum(1) > 0).long()


@pytest.mark.parametrize("estimator", ["st", "st_identity", "st_clipped"])
def test_a_plain_loop_trains_with_a_pathwise_estimator(estimator):
    net: Any = binlit.binarize(own_net(), layers=[1, 2], estimator=estimator)
    x, y = problem()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    first = net[0].weight.detach().clone()
    for _ in range(60):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    assert (net(x).argmax(1) == y).float().mean() > 0.85
    assert not torch.equal(net[0].weight, first)


@pytest.mark.parametrize(("estimator", "options"), [("reinforce", {}), ("rloo", {"draws": 8})])
def test_a_step_around_the_loss_trains_with_a_score_function(estimator, options):
    net = binlit.binarize(own_net(), layers="last", estimator=estimator, **options)
    x, y = problem()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(150):
        with binlit.Step(net) as step:
            losses = F.cross_entropy(net(step.inputs(x)), step.targets(y), reduction="none")
            loss = step.loss(losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    assert (net(x).argmax(1) == y).float().mean() > 0.85


def test_a_skip_connection_needs_the_input_repeated():
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.act, self.b = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(x + self.act(self.a(x)))

    net: Any = binlit.binarize(Skip(), 1, "rloo", draws=3, repeat_at="input")
    with binlit.Step(net) as step:
        losses = F.cross_entropy(
            net(step.inputs(torch.randn(5, 4))), step.targets(torch.ones(5).long()), reduction="none"
        )
        step.loss(losses).backward()
    assert net.a.weight.grad is not None
    assert net.a.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("within", [False, True], ids=["after the step", "within the step"])
@pytest.mark.parametrize("estimator", ["reinforce", "disarm", "rebar"])
def test_gradient_checkpointing_of_a_site_with_a_score_function_says_what_is_wrong(estimator, within, reentrant):
    net = binlit.binarize(own_net(), 1, estimator)
    x, y = problem()
    x.requires_grad_()

    def backward() -> None:
        with binlit.Step(net) as step:
            hidden = checkpoint(net[:2], step.inputs(x), use_reentrant=reentrant)
            loss = step.loss(F.cross_entropy(net[2:](hidden), step.targets(y), reduction="none"))
            if within:
                loss.backward()
        loss.backward()

    with pytest.raises(StepError, match=rf"site '1' .*gradient checkpointing.*'{type(net[1].estimator).__name__}'"):
        backward()


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_leaves_a_pathwise_gradient_as_it_is(reentrant):
    net: Any = binlit.binarize(own_net(), 1, "st")
    x, y = problem()
    gradients: list[torch.Tensor] = []
    for bottom in (net[:2], lambda x: checkpoint(net[:2], x, use_reentrant=reentrant)):
        torch.manual_seed(0)
        net.zero_grad()
        F.cross_entropy(net[2:](bottom(x.requires_grad_())), y).backward()
        gradients.append(net[0].weight.grad.clone())
    assert torch.equal(*gradients)


def test_one_module_called_twice_serves_a_pathwise_rule_and_a_score_function_names_it():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.act, self.b = nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.act(self.a(self.act(self.a(x)))))

    x, _ = problem()
    assert binlit.binarize(Twice(), 1, "st")(x).shape == (512, 2)
    net = binlit.binarize(Twice(), 1, "reinforce")
    with (
        pytest.raises(StepError, match=r"site 'act' drew twice .*give each place a module of its own"),
        binlit.Step(net) as step,
    ):
        net(step.inputs(x))


def test_names_are_loaded_on_first_use():
    assert binlit.__version__
    assert binlit.ESTIMATORS["st"].__name__ == "StraightThrough"
    with pytest.raises(AttributeError, match="No binlit attribute binarise"):
        _ = getattr(binlit, "binarise")  # noqa: B009


def test_a_quick_import_leaves_the_collector_on_and_the_process_ends_in_silence():
    """Objects kept from the collector to the very end make extensions complain of leaks when they are taken down."""
    code = (
        "import gc, sys; from binlit.running.quick_import import load_libraries; assert 'torch' not in sys.modules; "
        "load_libraries(); load_libraries(); print(gc.isenabled(), gc.get_freeze_count() > 100_000); "
        "assert 'pandas' not in sys.modules, 'a run makes no table'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("True True", "")
