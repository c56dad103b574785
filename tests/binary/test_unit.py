"""The unit's contract, for every estimator: bits, ties, seeds, inputs left alone, slopes that are read."""

from __future__ import annotations

import copy

import pytest
import torch

from binlit import binarize
from binlit.binary import BinaryActivation, activation_sites
from binlit.estimator import ESTIMATORS, Call, Step, StepError


def make(name: str, shape: tuple[int, ...] = (1,), **options) -> BinaryActivation:
    """A unit of `shape`; a rule that is about the draw thresholds in evaluation where asked to be deterministic."""
    rule = ESTIMATORS[name]()
    rule.prepare({"site": shape})
    options.setdefault("surrogate", "logistic" if rule.needs_logit else "hard_sigmoid")
    if rule.needs_chance and options.get("mode") == "deterministic":
        options |= {"mode": "stochastic", "evaluation": "threshold"}
    return BinaryActivation(rule, site="site", **options)


def train_once(unit: BinaryActivation, x: torch.Tensor) -> torch.Tensor:
    """What the unit sends on in training, relaxed and mean values left out."""
    with Step(unit) as step:
        return step.drawn(unit(step.inputs(x)))


def chance_of_one(unit: BinaryActivation, x: torch.Tensor) -> torch.Tensor:
    """Mean bit in training over the rows of x, lanes weighted as the step weighs them."""
    with Step(unit) as step:
        rows = step.drawn(unit(step.inputs(x)))
        weights = step.draws[0].weights if step.draws else None
        return (rows if weights is None else rows * weights.reshape(-1, 1)).mean(0)


def binary_in_training(name: str) -> str:
    if name == "concrete":
        pytest.skip("sends relaxed values on in training: tested with its formula")
    return name


@pytest.fixture(params=sorted(ESTIMATORS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def firing_probability(unit: BinaryActivation, x: torch.Tensor) -> torch.Tensor:
    shifted, z = unit.pre_activation(x)
    return unit.estimator.firing_probability(Call(shifted, z, unit.surrogate, unit.low, True, None, unit.site))


@pytest.mark.parametrize("mode", ["stochastic", "deterministic"])
@pytest.mark.parametrize(("levels", "values"), [("01", {0.0, 1.0}), ("pm1", {-1.0, 1.0})])
@pytest.mark.parametrize("training", [True, False])
def test_output_is_exactly_binary(name, mode, levels, values, training):
    unit = make(name, (3,), mode=mode, levels=levels).train(training)
    if training:
        binary_in_training(name)
    x = torch.randn(512, 3, requires_grad=True)
    out = train_once(unit, x) if training else unit(x)
    assert set(out.unique().tolist()) == values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_dtype_and_input_are_kept(name, dtype):
    unit = make(name, (5, 4, 3))
    x = torch.randn(6, 5, 4, 3, dtype=dtype, requires_grad=True)
    before = x.detach().clone()
    out = unit.eval()(x)
    assert out.shape == x.shape
    assert out.dtype == dtype
    drawn = train_once(unit.train(), x)
    assert drawn.shape[1:] == x.shape[1:]
    assert drawn.dtype == dtype
    assert torch.equal(x, before)


def test_memory_format_is_kept(name):
    x = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last).requires_grad_()
    assert train_once(make(name, (3, 5, 5)), x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("training", [True, False])
def test_half_is_on_and_sign_of_zero_is_plus_one(name, training):
    unit = make(name, mode="deterministic", levels="pm1").train(training)
    if unit.estimator.score_function or unit.estimator.needs_chance:  # draws in training whatever the mode
        unit.eval()
    x = torch.tensor([[0.0, -0.0, 1e-30, -1e-30]])
    assert train_once(unit, x).tolist() == [[1.0, 1.0, 1.0, -1.0]]


def test_threshold_moves_the_tie(name):
    unit = make(name, mode="deterministic", threshold=0.5).eval()
    assert unit(torch.tensor([0.4999, 0.5, 0.5001])).tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("tau", [0.5, -0.25])
def test_threshold_moves_the_window_of_the_gradient(tau):
    """Kim et al. 2021 (2012.00938): the straight-through window is shifted along with the threshold."""
    x = (tau + torch.tensor([-1.01, -0.99, 0.0, 0.99, 1.01])).requires_grad_()
    unit = BinaryActivation(ESTIMATORS["st_clipped"](), mode="deterministic", levels="pm1", threshold=tau, site="site")
    unit(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("training", [True, False])
def test_same_seed_same_bits(name, training):
    unit, x = make(name, (7,)).train(training), torch.randn(64, 7)
    outs = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        outs.append(train_once(unit, x))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


def test_bits_come_with_the_surrogates_probability(name):
    unit, x = make(name, (5,)), torch.tensor([-0.8, -0.2, 0.0, 0.5, 0.9])
    p = firing_probability(unit, x)
    drawn = unit.eval()(x.expand(40_000, -1)).mean(0)
    assert ((drawn - p).abs() < 4.5 * (p * (1 - p) / 40_000).sqrt() + 1e-9).all()
    binary_in_training(name)
    trained = chance_of_one(unit.train(), x.expand(40_000, -1))
    assert ((trained - p).abs() < 4.5 * (p * (1 - p) / 40_000).sqrt() + 1e-9).all()


def test_the_forward_pass_reads_the_slope(name):
    """P(b = 1) at x = 0.3 follows the slope."""
    unit, x = make(binary_in_training(name)), torch.full((50_000, 1), 0.3)
    for slope in (1.0, 2.5):
        unit.slope.fill_(slope)
        p = firing_probability(unit, torch.tensor([0.3])).item()
        assert chance_of_one(unit, x).item() == pytest.approx(p, abs=0.012)


def test_the_slope_is_saved_with_the_weights(name):
    unit = make(name)
    unit.slope.fill_(3.0)
    fresh = make(name)
    fresh.load_state_dict(unit.state_dict())
    assert fresh.slope.item() == 3.0


def test_a_score_function_thresholds_when_deterministic(name):
    unit = make(name, mode="deterministic").eval()
    x = torch.randn(100, 4)
    assert torch.equal(unit(x), (x >= 0).float())


def test_deepcopy_leaves_the_original_alone(name):
    unit = make(name)
    twin = copy.deepcopy(unit)
    twin.slope.fill_(9.0)
    assert unit.slope.item() == 1.0


def test_a_score_function_outside_a_step_is_refused_in_training_only(name):
    unit, x = make(name), torch.randn(3, 2)
    if unit.estimator.score_function:
        with pytest.raises(StepError, match="run the net inside `with binlit"):
            unit(x)
    assert unit.eval()(x).shape == x.shape


@pytest.mark.parametrize("mode", ["stochastic", "deterministic"])
def test_nan_is_not_turned_into_a_bit_in_silence(name, mode):
    x = torch.tensor([[float("nan"), float("inf"), -float("inf")]])
    out = make(name, mode=mode).eval()(x)
    assert out[0, 0].isnan()
    if name not in ("st_identity", "reinmax"):  # their stand-ins grow with the input, and inf - inf is no number
        assert out[0, 1:].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "option", [{"mode": "sometimes"}, {"surrogate": "relu"}, {"levels": "10"}, {"evaluation": "no"}]
)
def test_unknown_names_are_refused_with_what_there_is(option):
    ((key, value),) = option.items()
    with pytest.raises(ValueError, match=rf"{key}='{value}' is not known; choose"):
        make("st", **option)


@pytest.mark.parametrize("name", ["rloo", "rebar", "disarm", "st_gumbel", "reinmax"])
def test_a_rule_of_the_logit_refuses_a_surrogate_that_reaches_the_ends(name):
    with pytest.raises(ValueError, match="needs surrogate='logistic'"):
        make(name, surrogate="hard_sigmoid")


@pytest.mark.parametrize("name", ["concrete", "st_gumbel", "gumbel_rao", "gapped_st", "decoupled_st", "reinmax"])
def test_a_rule_about_the_draw_refuses_a_thresholded_site(name):
    with pytest.raises(ValueError, match="use mode='stochastic'"):
        BinaryActivation(ESTIMATORS[name](), mode="deterministic", surrogate="logistic")


def test_bits_of_bfloat16_have_the_probability_of_float32():
    """A uniform number of bfloat16 has 8 bits: drawn with it, p = 0.001 would come out as 0 or 0.004."""
    unit = make("st")
    x = torch.full((400_000,), -0.998, dtype=torch.bfloat16)
    p = unit.surrogate.probability(x[:1].float()).item()
    assert unit.eval()(x).float().mean().item() == pytest.approx(p, abs=4.5 * (p / 400_000) ** 0.5)


def test_a_share_of_channels_is_binary_and_the_others_keep_their_activation():
    """Study A4's mixed nets: bits of the first half, the old activation of the second, concatenated."""
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 6, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(6 * 36, 2))
    x = torch.randn(4, 1, 8, 8)
    real = net[:2](x)
    mixed = binarize(net, [1], "st", mode="deterministic", share=0.5, sites=["1"])
    found = mixed[:2](x)
    assert torch.equal(found[:, :3], (net[0](x)[:, :3] >= 0).float())
    assert torch.equal(found[:, 3:], real[:, 3:])
    assert "share=0.5" in repr(mixed[1])


@pytest.mark.parametrize("estimator", [name for name, rule in ESTIMATORS.items() if rule.score_function])
def test_real_channels_follow_the_repeats_of_two_mixed_sites(estimator):
    """Which lane a row belongs to shows in a third channel, which no gradient rule touches."""
    parts = [torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)]
    net = torch.nn.Sequential(*parts).double()
    binarize(net, [1, 2], estimator, share=0.5, example=torch.zeros(2, 3, dtype=torch.float64))
    x = torch.randn(5, 3, dtype=torch.float64)
    with Step(net) as step:
        first = net[:2](x)
        assert torch.equal(first[:, 2:], torch.tanh(net[0](x))[:, 2:].repeat(first.shape[0] // 5, 1))
        second = net[3](net[2](first))
        own = torch.tanh(net[2](first))[:, 2:]
        lanes, known = second[:, 2:].unflatten(0, (-1, 5)), own.unflatten(0, (-1, 5))
        for lane in lanes:  # what the real channels of a lane hold is what an earlier lane of the batch sent
            assert any(torch.equal(lane, other) for other in known)
        out = net[4](second)
        losses = torch.nn.functional.cross_entropy(
            out, step.targets(torch.zeros(5, dtype=torch.long)), reduction="none"
        )
        step.loss(losses).backward()
    own_parameters = [p for name, p in net.named_parameters() if "estimator" not in name]
    assert all(p.grad is not None and p.grad.any() for p in own_parameters)


@pytest.mark.parametrize("estimator", ["rloo", "muprop", "disarm", "reinforce"])
def test_real_channels_follow_the_repeats_of_the_binary_ones(estimator):
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    binarize(net, [1], estimator, share=0.5)
    x = torch.randn(5, 3, dtype=torch.float64)
    with Step(net) as step:
        out = net[:2](x)
        lanes = out.shape[0] // 5
        assert torch.equal(out[:, 2:], torch.tanh(net[0](x))[:, 2:].repeat(lanes, 1))
        losses = torch.nn.functional.cross_entropy(
            net[2](out), step.targets(torch.zeros(5, dtype=torch.long)), reduction="none"
        )
        step.loss(losses).backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_a_mixed_site_placed_twice_keeps_the_first_activation():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    binarize(net, [1], "st", share=0.5)
    binarize(net, [1], "st", share=0.25)
    assert isinstance(net[1].rest, torch.nn.Tanh)
    unit = net[1]
    assert isinstance(unit, BinaryActivation)
    assert unit.binary_channels(4) == 1
    assert activation_sites(net) == ["1"]  # the activation inside is no site of its own


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_a_share_outside_0_and_1_is_refused(share):
    with pytest.raises(ValueError, match=r"outside \(0, 1\]"):
        binarize(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2)), [1], share=share)
