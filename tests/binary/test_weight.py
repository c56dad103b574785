"""Binary weights: values, gradients against the formulas, Algorithm 1 step by step, what state_dict holds."""

from __future__ import annotations

import copy
import io
import math
import re
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

import binlit
from binlit.binary import BinaryWeight, RealWeightWarning, binary_weights, estimators, latent, weight_layers
from binlit.binary.weight import PlainSign, channel_means
from binlit.estimator import ESTIMATORS
from binlit.estimator.base import Call
from binlit.model import BinaryResNet, BnnConvNet, Mlp, MnistCnn

PATHWISE = [
    name for name, rule in ESTIMATORS.items() if not rule.score_function and name not in ("rebar", "relax", "muprop")
]


def mlp(**settings) -> Any:
    torch.manual_seed(0)
    return Mlp(inputs=6, hidden=(5, 4), classes=3, activation="relu", **settings)


@pytest.mark.parametrize(
    ("net", "x"), [(mlp(), torch.randn(4, 6)), (MnistCnn(), torch.randn(2, 1, 28, 28))], ids=["mlp", "cnn"]
)
def test_the_net_multiplies_with_bits_and_keeps_latent_weights(net, x):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    binlit.binarize_weights(net, init="model")
    for name in weight_layers(net):
        assert net.get_submodule(name).weight.unique().tolist() == [-1, 1]
        held = net.state_dict()[f"{name}.parametrizations.weight.original"]
        assert torch.equal(held, before[f"{name}.weight"])
    assert net(x).isfinite().all()


def test_any_layer_by_number_name_or_word():
    for layers, expected in (
        (1, ["features.fc1"]),
        ("inner", ["features.fc2"]),
        (["classifier", 2], ["features.fc2", "classifier"]),
        ("last", ["classifier"]),
        ("all", ["features.fc1", "features.fc2", "classifier"]),
        (None, []),
    ):
        assert list(binary_weights(binlit.binarize_weights(mlp(), layers))) == expected
    with pytest.raises(ValueError, match=r"layer 9 does not exist: this net has 3 weight layers \(1=features.fc1"):
        binlit.binarize_weights(mlp(), 9)
    with pytest.raises(ValueError, match=r"'features.act1' is a ReLU, and weights can be binary in linear"):
        binlit.binarize_weights(mlp(), "features.act1")


@pytest.mark.parametrize("name", [n for n in ESTIMATORS if ESTIMATORS[n].score_function])
def test_score_functions_are_refused(name):
    options: dict[str, Any] = {"draws": 2} if name in ("rloo", "arms") else {}
    with pytest.raises(ValueError, match="a weight's bit is shared by all examples"):
        binlit.binarize_weights(mlp(), estimator=name, **options)


@pytest.mark.parametrize("name", PATHWISE)
def test_a_weight_gets_the_gradient_that_an_activation_gets(name):
    """dL/dlatent is the estimator's own backward of dL/dbit, whatever the rule."""
    rule: Any = ESTIMATORS[name]
    mode = "stochastic" if rule.needs_chance else "deterministic"
    net = binlit.binarize_weights(mlp().double(), 2, estimator=name, mode=mode, init="model", clip="none")
    weight, x = latent(net, "features.fc2"), torch.randn(7, 6, dtype=torch.float64)
    unit = binary_weights(net)["features.fc2"]
    for each in estimators(net):
        each.begin_epoch(2)
    torch.manual_seed(3)
    loss = net(x).square().sum()
    (found,) = torch.autograd.grad(loss, weight, allow_unused=True)
    found = torch.zeros_like(weight) if found is None else found

    torch.manual_seed(3)
    free = weight.detach().clone().requires_grad_()
    bits = unit.estimator(Call(free, free, unit.surrogate, -1.0, mode == "stochastic", None, ""))
    leaf = bits.detach().requires_grad_()
    hidden = F.linear(F.relu(net.features.fc1(x)), leaf, net.features.fc2.bias)
    (to_bits,) = torch.autograd.grad(net.classifier(F.relu(hidden)).square().sum(), leaf)
    (expected,) = torch.autograd.grad(bits, free, to_bits, allow_unused=True) if bits.requires_grad else (None,)
    torch.testing.assert_close(found, torch.zeros_like(found) if expected is None else expected)


@pytest.mark.parametrize("estimator", ["st_clipped", "st_identity"])
@pytest.mark.parametrize("special", [None, 1.5, math.nan, -0.0])
def test_the_short_way_is_the_estimators_own(estimator, special):
    """The pass-saving sign equals the estimator's formula, also where it steps aside: outside the window, at NaN."""
    weight = torch.rand(6, 5) * 2 - 1
    weight[0, :2] = torch.tensor([1.0, -1.0])
    if special is not None:
        weight[2, 3] = special
    unit = BinaryWeight(weight, ESTIMATORS[estimator](), clip="none")
    a, b = (weight.clone().requires_grad_() for _ in range(2))
    short = unit.bits(a)
    long = unit.estimator(Call(b, b, unit.surrogate, -1.0, False, None, ""))
    assert torch.equal(short.nan_to_num(7), long.nan_to_num(7))
    g = torch.randn(6, 5)
    torch.testing.assert_close(torch.autograd.grad(short, a, g), torch.autograd.grad(long, b, g), equal_nan=True)
    if special is None:
        assert "PlainSign" in type(short.grad_fn).__name__


def test_under_autocast_bits_are_narrow_and_exact():
    x = torch.tensor([-0.3, 0.0, 0.7], requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = PlainSign.apply(x)
    assert y.dtype == torch.bfloat16
    assert y.tolist() == [-1, 1, 1]
    (g,) = torch.autograd.grad(y, x, torch.tensor([1.0, 2.0, 3.0], dtype=torch.bfloat16))
    assert g.dtype == torch.float32
    assert g.tolist() == [1, 2, 3]


def test_drawn_weights_have_the_surrogates_probability():
    weight = torch.tensor([[-1.0, -0.5, 0.0, 0.5, 1.0]])
    net = nn.Linear(5, 1, bias=False)
    net.weight.data.copy_(weight)
    holder = nn.Sequential(net)
    binlit.binarize_weights(holder, mode="stochastic", estimator="st", init="model", evaluation="latent")
    torch.manual_seed(0)
    draws = torch.stack([net.weight.detach() for _ in range(4000)])
    assert set(draws.unique().tolist()) == {-1.0, 1.0}
    mean, expected = ((draws + 1) / 2).mean(0), torch.tensor([[0, 0.25, 0.5, 0.75, 1]])
    assert (mean - expected).abs().max() < 4 * math.sqrt(0.25 / 4000)
    holder.eval()
    assert torch.equal(net.weight, weight)  # tested with the real weights


def test_evaluation_thresholds_or_draws():
    net: Any = nn.Sequential(nn.Linear(40, 30))
    binlit.binarize_weights(net, mode="stochastic", evaluation="threshold").eval()
    assert torch.equal(net[0].weight, torch.where(latent(net, "0") >= 0, 1.0, -1.0))
    binlit.binarize_weights(net, mode="stochastic", evaluation="sample").eval()
    assert not torch.equal(net[0].weight, net[0].weight)


def test_xnor_scale_and_its_gradient():
    """w = a sign(v), a = mean |v|: dL/dv_i = g_i a 1[|v_i| <= 1] + sign(v_i) / n * sum_j g_j sign(v_j)."""
    net: Any = nn.Sequential(nn.Conv2d(2, 3, 3).double())
    binlit.binarize_weights(net, scale="xnor", init="model")
    v, w = latent(net, "0"), net[0].weight
    assert torch.equal(w, v.sign() * v.abs().mean((1, 2, 3), keepdim=True))
    g = torch.randn_like(w)
    (found,) = torch.autograd.grad(w, v, g)
    a = v.abs().mean((1, 2, 3), keepdim=True)
    expected = g * a + v.sign() / v[0].numel() * (g * v.sign()).sum((1, 2, 3), keepdim=True)
    torch.testing.assert_close(found, expected)


def test_a_learned_scale_is_a_real_parameter():
    net: Any = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    binlit.binarize_weights(net, "first", scale="learned", init="model")
    unit: Any = binary_weights(net)["0"]
    assert torch.equal(unit.scale, channel_means(latent(net, "0")))
    real, *binary = binlit.weight_groups(net)
    assert any(p is unit.scale for p in real["params"])
    assert [group["params"][0] is latent(net, "0") for group in binary] == [True]
    net(torch.randn(3, 8)).sum().backward()
    assert unit.scale.grad is not None
    assert unit.scale.grad.abs().sum() > 0


def test_algorithm_1_by_hand():
    """Three steps of Adam on the latent weights with the Glorot rate, clipped, against the formulas written out."""
    torch.manual_seed(1)
    net: Any = nn.Sequential(nn.Linear(5, 3, bias=False))
    x, y = torch.randn(8, 5), torch.randn(8, 3)
    binlit.binarize_weights(net)
    w = latent(net, "0").detach().double().clone()
    optimizer = torch.optim.Adam(binlit.weight_groups(net, lr=0.2))
    m = v = torch.zeros_like(w)
    rate = 0.2 * math.sqrt((5 + 3) / 1.5)
    clipped = False
    for t in range(1, 13):
        optimizer.zero_grad()
        (net(x) - y).square().mean().backward()
        optimizer.step()
        binlit.clip_latents(net)
        bits = torch.where(w >= 0, 1.0, -1.0).double()
        g = 2 * (x.double() @ bits.T - y.double()).T @ x.double() / y.numel()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        clipped |= bool((w.abs() > 1).any())
        w = w.clamp(-1, 1)
        torch.testing.assert_close(latent(net, "0").detach().double(), w, atol=1e-5, rtol=1e-5)
    assert clipped  # the clip has been at work


def test_clip_of_weights_and_biases():
    for clip, expected in (("none", (3.0, 3.0)), ("weight", (1.0, 3.0)), ("weight_and_bias", (1.0, 1.0))):
        net: Any = nn.Sequential(nn.Linear(2, 2))
        binlit.binarize_weights(net, clip=clip)
        with torch.no_grad():
            latent(net, "0").fill_(3)
            net[0].bias.fill_(3)
        binlit.clip_latents(net)
        assert (latent(net, "0").max().item(), net[0].bias.max().item()) == expected


def test_glorot_rate_counts_the_area_of_a_convolution():
    net: Any = nn.Sequential(nn.Conv2d(4, 8, 3))
    assert binary_weights(binlit.binarize_weights(net))["0"].rate_scale == pytest.approx(math.sqrt(12 * 9 / 1.5))
    assert binary_weights(binlit.binarize_weights(net, rate="none"))["0"].rate_scale == 1


def test_placed_twice_takes_the_newer_settings_and_keeps_the_weights():
    net = mlp()
    binlit.binarize_weights(net)
    kept = latent(net, "features.fc1").detach().clone()
    binlit.binarize_weights(net, mode="stochastic", init="model")
    assert [unit.mode for unit in binary_weights(net).values()] == ["stochastic"] * 3
    assert torch.equal(latent(net, "features.fc1"), kept)


def test_copies_and_state_dicts():
    net = binlit.binarize_weights(mlp())
    twin = copy.deepcopy(net)
    with torch.no_grad():
        latent(twin, "classifier").neg_()
    assert not torch.equal(net.classifier.weight, twin.classifier.weight)
    twin.load_state_dict(net.state_dict())
    assert torch.equal(net.classifier.weight, twin.classifier.weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "random"}, "mode='random' is not known; choose deterministic, stochastic"),
        ({"scale": "xnr"}, "scale='xnr' is not known"),
        ({"clip": True}, "clip=True is not known"),
        ({"rate": "fast"}, "rate='fast' is not known"),
        ({"estimator": "reinmax", "mode": "stochastic", "surrogate": "hard_sigmoid"}, "needs surrogate='logistic'"),
        ({"estimator": "concrete"}, "draws no bit, and 'Concrete' is about the draw"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        binlit.binarize_weights(mlp(), **settings)


def test_published_parameter_counts():
    def count(net: nn.Module) -> int:
        return sum(p.numel() for p in net.parameters())

    wide = Mlp(hidden=(4096,) * 3, norm="all", activation="hard_tanh")
    assert count(wide) == 784 * 4096 + 2 * 4096**2 + 4096 * 10 + 2 * (3 * 4096 + 10)
    assert count(BnnConvNet()) == sum(
        9 * i * o for i, o in ((3, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512))
    ) + 512 * 16 * 1024 + 1024 * 1024 + 1024 * 10 + 2 * (2 * (128 + 256 + 512) + 2 * 1024 + 10)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2)), r"'0' is parametrized already \(_SpectralNorm\)"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), r"'0' is parametrized already \(_WeightNorm\)"),
    ],
)
def test_layers_whose_weight_is_made_by_something_else_are_named(layer, message):
    with pytest.raises(ValueError, match=message):
        binlit.binarize_weights(nn.Sequential(layer))


def test_a_shared_weight_stands_in_one_group():
    net: Any = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    binlit.binarize_weights(net)
    groups = binlit.weight_groups(net, lr=0.1)
    assert [len(group["params"]) for group in groups] == [2, 1]  # two biases, one weight
    torch.optim.Adam(groups)


def test_inner_of_two_layers_is_refused():
    with pytest.raises(ValueError, match="layers='inner' leaves nothing: this net has 2 weight layers"):
        binlit.binarize_weights(nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 2)), "inner")


@pytest.mark.parametrize("name", ["st_clipped", "approx_sign"])
def test_gradients_of_single_examples_by_vmap(name):
    net, x = binlit.binarize_weights(mlp(), "all", name), torch.randn(7, 6)
    latents = {key: value.detach() for key, value in net.named_parameters()}

    def loss(values: dict[str, torch.Tensor], one: torch.Tensor) -> torch.Tensor:
        return functional_call(net, values, one[None]).square().sum()

    every = vmap(grad(loss), (None, 0))(latents, x)
    for i, one in enumerate(x):
        net.zero_grad()
        net(one[None]).square().sum().backward()
        for key, value in net.named_parameters():
            torch.testing.assert_close(every[key][i], value.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("block", "around"), [("xnor", 2), ("bireal", 1)])
def test_shortcuts_carry_what_the_convolutions_leave_out(block, around):
    """With weights of 0 in all convolutions of the blocks but the last `around`, the net is what the shortcuts are."""
    net: Any = BinaryResNet(channels=1, block=block, widths=(4,)).eval()
    x = torch.randn(3, 1, 8, 8)
    for i in (1, 2):
        nn.init.zeros_(net.features[f"conv{i}"].weight)
    stem = net.stem(x)
    passed = net.norm(stem) if block == "bireal" else net.norm(stem).relu()
    torch.testing.assert_close(net(x), net.classifier(passed.mean((2, 3))))
    nn.init.normal_(net.features.conv2.weight)  # one shortcut around both, or one around each
    inside: dict[str, torch.Tensor] = {}
    net.features.conv2.register_forward_hook(lambda _, args, out: inside.update(read=args[0], sent=out))
    out = net(x)
    norm, act = net.features.bn2, net.features.act2
    if around == 2:
        torch.testing.assert_close(inside["read"], act(norm(torch.zeros_like(stem))))
        expected = net.norm(stem + inside["sent"]).relu()
    else:
        torch.testing.assert_close(inside["read"], act(passed))
        expected = passed + norm(inside["sent"])
    torch.testing.assert_close(out, net.classifier(expected.mean((2, 3))))


@pytest.mark.parametrize("block", ["xnor", "bireal"])
@pytest.mark.parametrize(("channels", "side"), [(3, 32), (1, 28)])
def test_residual_nets_take_both_sizes_and_are_binary_inside(block, channels, side):
    net: Any = BinaryResNet(channels=channels, block=block, widths=(4, 8))
    binlit.binarize(
        net, "all", "st_clipped", mode="deterministic", levels="pm1", sites=[f"features.act{i}" for i in range(1, 5)]
    )
    seen = {}
    for i in range(1, 5):
        net.features[f"conv{i}"].register_forward_pre_hook(
            lambda _, args, i=i: seen.update({i: args[0].unique().tolist()})
        )
    assert net(torch.randn(2, channels, side, side)).shape == (2, 10)
    assert seen == {i: [-1, 1] for i in range(1, 5)}


def test_all_names_the_weights_that_stay_real():
    net = nn.Sequential(
        nn.ConvTranspose2d(2, 3, 2), nn.Linear(2, 2), nn.GRU(2, 2), nn.MultiheadAttention(4, 2), nn.Embedding(4, 4),
        nn.BatchNorm2d(3),
    )  # fmt: skip
    left = (
        "stay real: 0 (ConvTranspose2d: weight), 2 (GRU: weight_ih_l0, weight_hh_l0), "
        "3 (MultiheadAttention: in_proj_weight), 4 (Embedding: weight)"
    )
    with pytest.warns(RealWeightWarning, match=re.escape(left) + "$"):
        binlit.binarize_weights(net)
    assert list(binary_weights(net)) == ["1", "3.out_proj"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        binlit.binarize_weights(net, "1")  # what is named is all that was asked for


def test_a_layer_without_a_weight_yet_is_named_before_any_is_binary():
    net = nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(3))
    with pytest.raises(ValueError, match=r"layer '1' has no weight yet \(LazyLinear\): run the net on a batch first"):
        binlit.binarize_weights(net)
    assert not binary_weights(net)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "settings", [{}, {"scale": "xnor"}, {"scale": "learned"}, {"evaluation": "latent"}, {"estimator": "approx_sign"}]
)
def test_torchs_own_exporters_give_the_nets_values(settings):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    net = binlit.binarize(MnistCnn(), "all", "st", mode="deterministic")
    net, x = binlit.binarize_weights(net, init="model", **settings).eval(), torch.randn(2, 1, 28, 28)
    file = io.BytesIO()
    torch.onnx.export(net, (x,), file, dynamo=False)  # type: ignore[arg-type]
    session = runtime.InferenceSession(file.getvalue())
    (scores,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(scores), net(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.export.export(net, (x,)).module()(x), net(x))
