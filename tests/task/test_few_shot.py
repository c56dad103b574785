"""Few-shot: gradients of score functions against the enumeration of a small episode, heads against plain loops."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from scipy import stats
from torch import nn
from torch.nn import functional as F

from binlit import binarize
from binlit.config import check
from binlit.dataset.episodes import DrawnClasses
from binlit.estimator import Step, StepError
from binlit.evaluate import evaluate
from binlit.interval import interval
from binlit.model import HEADS, Conv4, MatchingNetwork, PrototypicalNetwork
from binlit.paths import config_dir
from binlit.running.build import build_data, build_task
from binlit.task.few_shot import FewShot, labels, shared_losses
from binlit.train import train

WAY, SHOT, QUERY = 2, 1, 2
SUPPORT = torch.tensor([[[0], [3]]])  # one episode of two classes, (E, way, shot) into six drawings
QUERIES = torch.tensor([[[1, 2], [4, 5]]])


class TinyEncoder(nn.Module):
    """3 -> 2 bits -> 2 values, or with `deep` 3 -> 1 bit -> 1 bit -> 2 values: 2^12 configurations of six drawings."""

    def __init__(self, deep: bool = False) -> None:
        super().__init__()
        width = 1 if deep else 2
        self.below, self.act1 = nn.Linear(3, width), nn.Sigmoid()
        self.between, self.act2 = (nn.Linear(1, 1), nn.Sigmoid()) if deep else (nn.Identity(), nn.Identity())
        self.above = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.above(self.act2(self.between(self.act1(self.below(x)))))


def encoder(deep: bool) -> Any:
    torch.manual_seed(5)
    net = TinyEncoder(deep).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net


def query_losses(z: torch.Tensor) -> torch.Tensor:
    """(..., 6, D) -> (..., 1, way * query)."""
    logs = MatchingNetwork()(z[..., SUPPORT, :], z[..., QUERIES.flatten(1), :])
    targets = labels(QUERIES).expand(logs.shape[:-1])
    return -logs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def exact_gradient(net: Any, x: torch.Tensor, deep: bool) -> torch.Tensor:
    """Gradient of the expected mean loss of the episode: every configuration of all drawings' bits."""
    configurations = torch.tensor(list(itertools.product([0.0, 1.0], repeat=12)), dtype=torch.float64)
    bits = configurations.view(-1, 6, 2)  # both bits of each drawing
    p1 = torch.sigmoid(net.below(x))
    if deep:
        b1, b2 = bits[..., :1], bits[..., 1:]
        p2 = torch.sigmoid(net.between(b1))
        weight = torch.where(b1 == 1, p1, 1 - p1).prod(1) * torch.where(b2 == 1, p2, 1 - p2).prod(1)
        z = net.above(b2)
    else:
        weight = torch.where(bits == 1, p1, 1 - p1).flatten(1).prod(1, keepdim=True)
        z = net.above(bits)
    expected = (weight.squeeze(1) * query_losses(z).mean((1, 2))).sum()
    return _flat(torch.autograd.grad(expected, [p for n, p in net.named_parameters() if "estimator" not in n]))


def _flat(gradients) -> torch.Tensor:
    return torch.cat([g.flatten() for g in gradients])


def estimates(net: Any, x: torch.Tensor, episodes: int, count: int) -> torch.Tensor:
    """`count` estimates, each of `episodes` copies of the episode at once, as `FewShot` goes about it."""
    offset = 6 * torch.arange(episodes)[:, None, None]
    many = x.repeat(episodes, 1)
    return torch.stack([estimate(net, many, SUPPORT + offset, QUERIES + offset) for _ in range(count)])


def estimate(net: Any, x: torch.Tensor, support: torch.Tensor, query: torch.Tensor, taught: float = 1) -> torch.Tensor:
    """One estimate; `taught` multiplies what support drawings are held responsible for."""
    with Step(net) as step:
        z = net(step.inputs(x)).unflatten(0, (-1, len(x)))
        logs = MatchingNetwork()(z[..., support, :], z[..., query.flatten(1), :])
        targets = labels(query).expand(logs.shape[:-1])
        losses = -logs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        by_image, rewards, weights = shared_losses(losses, support, query, len(x))
        weights[support.flatten()] *= taught
        loss = step.loss(by_image, rewards, weights)
    return _flat(torch.autograd.grad(loss, [p for n, p in net.named_parameters() if "estimator" not in n]))


def sigmas(found: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """How many standard errors the mean of the estimates (n, P) is away from the exact gradient (P,)."""
    return (found.mean(0) - exact).abs() / (found.std(0) / math.sqrt(len(found))).clamp_min(1e-12)


RULES = [
    ("reinforce", {}), ("rloo", {"draws": 3}), ("nvil", {"normalise": False, "hidden": 4}), ("muprop", {}),
    ("rebar", {"tune_every": 0}), ("relax", {"tune_every": 0, "hidden": 4}), ("arm", {}), ("disarm", {}),
    ("arms", {"draws": 3}), ("double_cv", {"draws": 3}), ("rodeo", {"draws": 3}),
]  # fmt: skip


@pytest.mark.parametrize("deep", [False, True], ids=["one-layer", "two-layers"])
@pytest.mark.parametrize(("estimator", "options"), RULES, ids=[name for name, _ in RULES])
def test_score_functions_agree_with_the_enumerated_episode(estimator, options, deep):
    """Every component within 4 standard errors: bits of support drawings and of queries get what they are owed."""
    net, x = encoder(deep), torch.randn(6, 3, dtype=torch.float64)
    exact = exact_gradient(net, x, deep)
    assert exact[:3].abs().max() > 1e-3  # there is something to find below the sites
    layers = ["act1", "act2"] if deep else ["act1"]
    binarize(net, layers, estimator, sites=["act1", "act2"], example=x, **options)
    estimates(net, x, 4, 30)  # lets moving averages settle
    score = sigmas(estimates(net, x, 100, 150), exact)
    assert score.max() < 4, score


def test_rewarding_support_drawings_with_nothing_would_be_found_out():
    """The test above can fail: without the support's share of the losses the gradient is far off."""
    net, x = encoder(False), torch.randn(6, 3, dtype=torch.float64)
    exact = exact_gradient(net, x, False)
    binarize(net, ["act1"], "rloo", draws=3)
    offset = 6 * torch.arange(100)[:, None, None]
    many = x.repeat(100, 1)
    found = torch.stack([estimate(net, many, SUPPORT + offset, QUERIES + offset, taught=0) for _ in range(150)])
    assert sigmas(found, exact).max() > 8


def overlapping(net: Any, x: torch.Tensor) -> torch.Tensor:
    """Estimates where two episodes of a batch are of the same six drawings, as the data module hands them out."""
    data = DrawnClasses((255 * torch.ones(2, 3, 1, 1)).to(torch.uint8), once=False)
    images, support, query = data[(SUPPORT.repeat(2, 1, 1), QUERIES.repeat(2, 1, 1))]
    order = torch.cat([SUPPORT.repeat(2, 1, 1).flatten(), QUERIES.repeat(2, 1, 1).flatten()])
    assert len(images) == 12
    return torch.stack([estimate(net, x[order], support, query) for _ in range(1500)])


def test_episodes_that_share_drawings_have_bits_of_their_own():
    net, x = encoder(False), torch.randn(6, 3, dtype=torch.float64)
    exact = exact_gradient(net, x, False)
    score = sigmas(overlapping(binarize(net, ["act1"], "rloo", draws=8), x), exact)
    assert score.max() < 4, score


def test_weights_go_with_rewards():
    net = binarize(encoder(False), ["act1"], "rloo")
    with Step(net) as step:
        out = net(torch.randn(6, 3, dtype=torch.float64))
        with pytest.raises(StepError, match=r"weights \(6,\) must be one for each of the 6 examples, and stand beside"):
            step.loss(out[:, 0], weights=torch.ones(6))
        with pytest.raises(StepError, match=r"weights \(1,\)"):
            step.loss(out[:, 0], out[:, 0], torch.ones(1))


@pytest.mark.parametrize("estimator", ["reinforce", "nvil"])
def test_the_very_first_step_is_unbiased_too(estimator):
    """There is no moving average yet, and the mean of the others would depend on a support drawing's own bits."""
    x = torch.randn(6, 3, dtype=torch.float64)
    options = {"normalise": False, "hidden": 4} if estimator == "nvil" else {}
    exact = exact_gradient(encoder(False), x, False)
    net = binarize(encoder(False), ["act1"], estimator, example=x, **options)
    found = []
    for _ in range(300):
        net.get_submodule("act1.estimator").get_buffer("steps").zero_()
        found.append(estimates(net, x, 20, 1)[0])
    assert sigmas(torch.stack(found), exact).max() < 4


def test_bitflip_is_refused_where_losses_are_shared():
    net = binarize(encoder(False), ["act1"], "bitflip")
    with pytest.raises(StepError, match="examples share losses"):
        estimates(net, torch.randn(6, 3, dtype=torch.float64), 1, 1)


def test_mean_of_losses_by_image_is_the_mean_loss():
    losses = torch.rand(3, 1, 4)
    by_image, rewards, weights = shared_losses(losses, SUPPORT, QUERIES, 6)
    assert by_image.mean() == pytest.approx(float(losses.mean()))
    assert torch.equal(rewards.view(3, 6)[:, [1, 2, 4, 5]], losses[:, 0])
    assert torch.allclose(rewards.view(3, 6)[:, [0, 3]], losses.mean(2).expand(-1, 2))
    assert weights.tolist() == [6.0, 1.5, 1.5, 6.0, 1.5, 1.5]


@pytest.mark.parametrize("distance", ["squared_l2", "cosine"])
def test_matching_network_against_a_plain_loop(distance):
    support, queries = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 5)  # 2 episodes, 3 classes, 4 shots
    found = MatchingNetwork(distance)(support, queries).exp()
    for episode in range(2):
        for q in range(6):
            weights = torch.zeros(3, 4)
            for c, s in itertools.product(range(3), range(4)):
                a, b = queries[episode, q], support[episode, c, s]
                weights[c, s] = 10 * F.cosine_similarity(a, b, dim=0) if distance == "cosine" else -((a - b) ** 2).sum()
            attention = weights.flatten().softmax(0).view(3, 4).sum(1)
            assert torch.allclose(found[episode, q], attention, atol=1e-5)


def test_prototypical_network_against_a_plain_loop():
    support, queries = torch.randn(1, 3, 4, 5), torch.randn(1, 6, 5)
    found = PrototypicalNetwork()(support, queries).exp()[0]
    means = support[0].mean(1)
    distances = torch.stack([((q - means) ** 2).sum(1) for q in queries[0]])
    assert torch.allclose(found, (-distances).softmax(1), atol=1e-5)


def test_with_one_shot_both_heads_agree():
    support, queries = torch.randn(2, 5, 1, 8), torch.randn(2, 10, 8)
    assert torch.allclose(MatchingNetwork()(support, queries), PrototypicalNetwork()(support, queries), atol=1e-5)


def test_scale_multiplies_the_similarities():
    support, queries = torch.randn(1, 3, 4, 5), torch.randn(1, 6, 5)
    scaled = MatchingNetwork(scale=0.25)(support, queries)
    assert torch.allclose(scaled, MatchingNetwork()(support / 2, queries / 2), atol=1e-5)
    with pytest.raises(ValueError, match="scale=0 must be above 0"):
        MatchingNetwork(scale=0)


def test_cosine_of_an_embedding_of_zeros_has_a_gradient_of_ordinary_size():
    support = torch.zeros(1, 3, 1, 4, requires_grad=True)
    MatchingNetwork("cosine")(support, torch.randn(1, 2, 4))[..., 0].sum().backward()
    assert support.grad is not None
    assert 0 < support.grad.abs().max() < 1e5


def test_an_unknown_distance_is_refused():
    with pytest.raises(ValueError, match=r"choose squared_l2, cosine"):
        HEADS["matching"]("manhattan")


def test_cosine_without_scale_would_cap_at_065():
    """Why the scale is there: similarities in [-1, 1] leave the best of five classes at e / (e + 4 / e)."""
    cap = math.e / (math.e + 4 * math.exp(-1))
    assert cap == pytest.approx(0.6488, abs=1e-4)
    support = torch.cat([torch.ones(1, 1, 4), -torch.ones(4, 1, 4)])[None]
    head = MatchingNetwork("cosine")
    assert head(support, torch.ones(1, 1, 4)).exp().max() > 0.99
    assert head.log_scale is not None
    head.log_scale.data.zero_()
    assert float(head(support, torch.ones(1, 1, 4)).exp().max().detach()) == pytest.approx(cap, abs=1e-4)


def test_interval_over_episodes_is_scipys():
    x = torch.rand(50)
    mean, half = interval(x.tolist())
    low, high = stats.t.interval(0.95, 49, loc=float(x.double().mean()), scale=stats.sem(x.double().numpy()))
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_floor_cuts_small_probabilities_and_their_gradient():
    task = FewShot(Conv4(), 2, torch.optim.Adam, floor=0.01)
    z = torch.tensor([[0.0], [0.0], [0.0], [9.0], [9.0], [0.0]], requires_grad=True)
    logs = task.predictions(z, SUPPORT, QUERIES)
    assert float(logs[0, 3, 1].detach()) == pytest.approx(math.log(0.01))
    (gradient,) = torch.autograd.grad(logs[0, 3, 1], z)
    assert not gradient.any()


QUICK = [
    "task=few_shot", "dataset=glyphs_fewshot", "model=conv4", "logger=none", "trainer.enable_progress_bar=false",
    "threads=1", "dataset.characters=20", "dataset.evaluation=8", "dataset.episodes=6", "dataset.batch_size=2",
    "dataset.train_query=3", "dataset.query=5", "dataset.val_episodes=4", "dataset.test_episodes=6",
    "dataset.also=[[3,2]]", "dataset.rotations=[0,90]",
]  # fmt: skip
TIMES = ("seconds", "train_seconds")


def composed(*overrides: str) -> dict:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return check(compose("config", [*QUICK, *overrides]))


def run(folder: Path, *overrides: str) -> dict:
    return train(composed(*overrides), folder)


def test_metrics_are_those_of_the_episodes(tmp_path):
    content = run(tmp_path, "trainer.max_epochs=1", "binary.layer=3")
    metrics, episodes = content["metrics"], content["episodes"]
    assert set(episodes) == {"5w1s", "3w2s"}
    assert [len(counts) for counts in episodes.values()] == [6, 6]
    for name, queries in (("5w1s", 25), ("3w2s", 15)):
        accuracies = torch.tensor(episodes[name]) / queries
        assert metrics[f"test/acc_{name}"] == pytest.approx(float(accuracies.mean()))
        half = stats.t.ppf(0.975, 5) * float(accuracies.std()) / math.sqrt(6)
        assert metrics[f"test/ci95_{name}"] == pytest.approx(half, abs=1e-6)
    assert metrics["test/acc"] == pytest.approx(metrics["test/acc_5w1s"])
    assert metrics["test/n"] == 6 * 25
    assert content["curve"][0]["examples"] == 6 * 5 * 3  # queries
    json.dumps(content)  # goes into a record as it is


@pytest.mark.parametrize(
    "overrides",
    [
        ["binary.layer=2", "binary.mode=stochastic", "anneal=linear"],
        ["binary.layer=[1,4]", "estimator=rloo", "task.distance=cosine", "scheduler=cosine", "scheduler.T_max=4"],
    ],
)
def test_two_epochs_and_two_more_equal_four(tmp_path, overrides):
    unbroken = run(tmp_path / "four", *overrides, "trainer.max_epochs=4")
    run(tmp_path / "two", *overrides, "trainer.max_epochs=2")
    last = tmp_path / "two" / "checkpoints" / "last.ckpt"
    resumed = run(tmp_path / "more", *overrides, "trainer.max_epochs=4", f"ckpt_path={last}")
    assert resumed["metrics"] == unbroken["metrics"]
    assert resumed["episodes"] == unbroken["episodes"]
    curves = [[{k: v for k, v in e.items() if k not in TIMES} for e in c["curve"]] for c in (resumed, unbroken)]
    assert curves[0] == curves[1]


@pytest.mark.parametrize("estimator", ["reinforce", "nvil", "muprop", "rebar", "arms", "concrete", "st"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_every_family_trains_by_episodes(tmp_path, estimator, precision):
    overrides = [
        "trainer.max_epochs=1",
        f"estimator={estimator}",
        "binary.layer=[2,3]",
        f"trainer.precision={precision}",
    ]
    content = run(tmp_path, *overrides, "dataset.also=[]")
    below = [content["curve"][0][f"site/features.act{i}/grad_below"] for i in (2, 3)]
    assert all(value and math.isfinite(value) for value in below)


def test_a_net_that_learns_nothing_stays_at_chance_and_a_trained_one_does_not(tmp_path):
    rows = ["binary.layer=null", "dataset.characters=40", "dataset.episodes=60", "dataset.test_episodes=50"]
    trained = run(tmp_path / "a", *rows, "trainer.max_epochs=2", "dataset.batch_size=1")
    untrained = run(tmp_path / "b", *rows, "trainer.max_epochs=1", "dataset.batch_size=1", "optimizer.lr=1e-12")
    assert trained["metrics"]["test/loss"] < untrained["metrics"]["test/loss"] / 2
    task, data = build_task(composed(*rows)), build_data(composed(*rows))
    data.setup("fit")
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader()[0])), 0)
    constant = nn.Linear(784, 8)
    torch.nn.init.zeros_(constant.weight)
    task.net = nn.Sequential(nn.Flatten(), constant).eval()
    logs, targets, _ = task.evaluate(batch)
    assert torch.allclose(logs.exp(), torch.full_like(logs, 0.2))
    assert float((logs.argmax(1) == targets).float().mean()) == pytest.approx(0.2)


def test_mean_of_draws_is_the_mean_of_probabilities():
    cfg = composed("binary.layer=4", "binary.mode=stochastic", "binary.eval=mean", "binary.eval_draws=3")
    task, data = build_task(cfg).eval(), build_data(cfg)
    data.setup("fit")
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    torch.manual_seed(1)
    mean = task.evaluate(batch)[0].exp()
    torch.manual_seed(1)
    task.eval_draws = 1
    each = torch.stack([task.evaluate(batch)[0].exp() for _ in range(3)]).mean(0)
    assert torch.allclose(mean, each, atol=1e-6)
    assert torch.allclose(mean.sum(1), torch.ones(len(mean)), atol=1e-5)


def test_evaluation_draws_a_shared_drawing_once():
    task, data = build_task(composed("binary.layer=4", "binary.mode=stochastic")), build_data(composed())
    data.setup("fit")
    images, support, query = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    task.eval()
    same = task.evaluate((images, torch.cat([support, support]), torch.cat([query, query])))[0].chunk(2)
    assert torch.equal(*same)


def test_a_checkpoint_tested_again_gives_the_same_figures(tmp_path):
    content = run(tmp_path, "trainer.max_epochs=1", "binary.layer=2", "binary.mode=stochastic")
    saved = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    again = evaluate(saved["config"], saved["state_dict"])
    assert again["metrics"] == {k: v for k, v in content["metrics"].items() if k.startswith("test/")}
    assert again["counts"] == content["episodes"]


def test_figures_of_a_mixed_site_are_those_of_its_binary_channels(tmp_path):
    content = run(tmp_path / "mixed", "trainer.max_epochs=1", "binary.layer=2", "binary.share=0.5",
                  "binary.threshold=-1000", "estimator=detached")  # fmt: skip
    entry = content["curve"][0]
    assert entry["site/features.act2/ones"] == 1
    assert entry["site/features.act2/flat"] == 1
    assert entry["site/features.act2/grad_below"] == 0  # though the real channels do send a gradient back
