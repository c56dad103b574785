"""A unit acts once for each call of its site, wherever that is; what cannot be is refused, what is missed is named."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from binlit import binarize
from binlit.binary import (
    ConstantSiteWarning,
    OutputSiteWarning,
    UnreachedSiteWarning,
    activation_sites,
    binarize_weights,
    binary_units,
)

X = torch.randn(9, 8, generator=torch.Generator().manual_seed(0))


class Residual(nn.Sequential):
    def forward(self, input: Tensor) -> Tensor:
        return input + super().forward(input)


class Children(nn.Module):
    """Calls whatever children it has, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        for child in self.children():
            x = child(x)
        return x


class Dense(nn.ModuleDict):
    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for part in self.values():
            found.append(part(torch.cat(found, 1)))
        return torch.cat(found, 1)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class First(nn.Module):
    """Any module, then what it sends out first."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        out = self.part(x)
        return out[0] if isinstance(out, tuple) else out


class Classifier(nn.Module):
    """Defined in another order than called, an activation that nothing calls, and a sigmoid at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.body = nn.Linear(6, 3), nn.Linear(8, 6)
        self.unused, self.act, self.last = nn.ReLU(), nn.ReLU(), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.head(self.act(self.body(x)))).squeeze(-1)


def seen_behind(net: nn.Module) -> Callable[[], Tensor]:
    """What the last module of a chain reads."""
    read: list[Tensor] = []
    net[-1].register_forward_pre_hook(lambda _module, args: read.append(args[0]))  # type: ignore[index]
    return lambda: read[-1]


@pytest.mark.parametrize(
    "site",
    [nn.Sequential(nn.Linear(8, 8)), nn.Sequential(nn.Sequential(nn.Linear(8, 8))), Residual(nn.Linear(8, 8)),
     Children(), nn.Linear(8, 8), nn.LazyLinear(8), nn.GLU(), nn.Identity(), nn.Dropout(0.0)],
    ids=lambda site: type(site).__name__,
)  # fmt: skip
@pytest.mark.parametrize("levels", ["01", "pm1"])
def test_the_bits_of_any_site_are_those_of_what_it_sent_out_before(site, levels):
    """With 0 and 1, a unit applied twice makes every bit 1."""
    net = nn.Sequential(copy.deepcopy(site), nn.LazyLinear(3))
    real = net[0](X)
    binarize(net, "0", "st", mode="deterministic", levels=levels)
    read = seen_behind(net)
    for _ in range(2):  # the first pass is looked at, later ones are not
        net(X)
        assert torch.equal(read(), torch.where(real >= 0, 1.0, 0.0 if levels == "01" else -1.0))


def test_a_loop_over_a_sequential_meets_the_unit_once():
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            for part in self.body:
                x = part(x)
            return self.head(x) + 0

    net = Loop()
    real = net(X)
    assert torch.equal(binarize(net, "body", "st", mode="deterministic")(X), (real >= 0).float())


@pytest.mark.parametrize(
    ("part", "name", "reason"),
    [
        (nn.GRU(8, 8), "part", r"'part' \(GRU\) sends out more than one tensor"),
        (nn.LSTM(8, 8), "part", "more than one tensor"),
        (nn.Sequential(nn.Linear(8, 8), nn.RNN(8, 8)), "part", "more than one tensor"),
        (nn.LSTMCell(8, 8), "part", "more than one tensor"),
        (nn.MultiheadAttention(8, 2), "part", "more than one tensor"),
        (nn.MultiheadAttention(8, 2), "part.out_proj", "is never called: attention reads its weight"),
        (nn.MaxPool1d(2, return_indices=True), "part", "more than one tensor"),
        (nn.ModuleList([nn.Linear(8, 8), nn.ReLU()]), "part", r"never called.*name these \(part.0, part.1\)"),
        (nn.ModuleDict({"a": nn.Linear(8, 8)}), "part", r"never called.*name these \(part.a\)"),
        (Dense({"a": nn.Linear(8, 8)}), "part", "would take the unit for one of them"),
        (binarize_weights(nn.Sequential(nn.Linear(8, 8))), "part.0.parametrizations.weight.0", "what makes a weight"),
    ],
)
def test_what_no_unit_can_act_on_is_refused_by_name_and_the_net_left_as_it_was(part, name, reason):
    net = First(copy.deepcopy(part))
    before = list(net.state_dict())
    with pytest.raises(ValueError, match=reason):
        binarize(net, ["part.0" if isinstance(part, nn.ModuleList) else name, name])
    assert list(net.state_dict()) == before


def test_an_unknown_module_with_a_pair_is_named_in_the_first_pass_or_with_an_example_at_once():
    with pytest.raises(ValueError, match="binary site 'part' gets a tuple, and a unit takes one tensor"):
        binarize(First(Pair()), "part")(X)
    with pytest.raises(ValueError, match="binary site 'part' gets a tuple"):
        binarize(First(Pair()), "part", example=X)
    with pytest.raises(ValueError, match=r"binary site '0' gets a tensor of torch.int64"):
        binarize(nn.Sequential(nn.Identity(), nn.Embedding(3, 2)), "0")(torch.tensor([1]))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_scripted_module_is_refused():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    with pytest.raises(ValueError, match=r"'0.1' \(RecursiveScriptModule\) is compiled by TorchScript"):
        binarize(nn.Sequential(scripted), "0.1")


def encoder(layers: int = 2) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation=nn.ReLU(), batch_first=True, dropout=0.0)
    return nn.TransformerEncoder(layer, layers)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("layers", ["all", 1, 2, "layers.0", "layers.1.linear1", "layers.0.norm1"])
def test_a_transformer_sends_out_the_same_with_and_without_a_graph(layers, masked):
    net = binarize(encoder(), layers, "st", mode="deterministic").eval()
    x = torch.randn(3, 5, 8)
    padding = torch.arange(5)[None] >= torch.tensor([5, 3, 4])[:, None] if masked else None
    with_graph = net(x, src_key_padding_mask=padding)
    with torch.no_grad():
        torch.testing.assert_close(net(x, src_key_padding_mask=padding), with_graph)
    calls: list[str] = []

    def look(unit: Any, _args: Any, out: Tensor) -> None:
        assert out.unique().tolist() == [0, 1]
        calls.append(unit.site)

    for unit in binary_units(net):  # only now: hooks too keep torch from its kernels
        unit.register_forward_hook(look)
    torch.testing.assert_close(net(x, src_key_padding_mask=padding), with_graph)
    assert calls == [unit.site for unit in binary_units(net)]


def test_a_decoder_and_its_copies_call_the_unit():
    """torch's own copies of a decoder layer have F.relu in the way of an activation that is a module."""
    net = nn.Transformer(8, 2, 1, 1, 16, batch_first=True, activation=nn.Tanh(), dropout=0.0)
    binarize(net, "all", mode="deterministic").eval()
    x = torch.randn(3, 5, 8)
    for one in (net, copy.deepcopy(net)):
        calls: list[str] = []
        with torch.no_grad():
            torch.testing.assert_close(one(x, x), net(x, x))
        for unit in binary_units(one):
            unit.register_forward_hook(lambda unit, *_, calls=calls: calls.append(unit.site))
        one(x, x)
        assert {*calls} == {"encoder.layers.0.activation", "decoder.layers.0.activation"}


def test_a_unit_that_the_first_pass_does_not_reach_is_named_once():
    net = binarize(Classifier(), ["act", "unused"])
    with pytest.warns(UnreachedSiteWarning, match=r"first pass \(in training mode\) did not reach .* 'unused'"):
        net(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(X)
        net.eval()(X)
    with pytest.warns(UnreachedSiteWarning, match=r"in evaluation mode\) did not reach .* 'unused'"):
        binarize(Classifier(), ["act", "unused"], example=X)


def test_a_weight_that_is_read_without_a_call_is_named():
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(nn.functional.linear(x, self.fc.weight))

    with pytest.warns(UnreachedSiteWarning, match="'fc': a module that is not called, or whose weight is read"):
        binarize(Reads(), "fc")(X)


def test_parts_called_before_the_whole_net_are_reached():
    net: Any = binarize(Classifier(), "act")
    net.act(net.body(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(X)


def test_bits_behind_a_relu_are_all_on_and_this_is_said():
    net = nn.Sequential(nn.Sequential(nn.Linear(8, 16), nn.ReLU()), nn.Linear(16, 2))
    with pytest.warns(ConstantSiteWarning, match="all bits of '0' were on.*threshold above 0"):
        binarize(net, "0", mode="deterministic")(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        binarize(net, "0", mode="deterministic", threshold=0.1)(X)


def test_an_activation_at_the_end_is_the_output_wherever_it_was_defined():
    with pytest.warns(OutputSiteWarning, match="binary site 'last' is the classifier's output"):
        binarize(Classifier(), ["act", "last"])(X)
    with pytest.warns(OutputSiteWarning, match="binary site 'last' is the classifier's output"):
        binarize(Classifier(), "last", example=X)
    one = nn.Sequential(nn.Linear(8, 4), nn.Sequential(nn.Linear(4, 2)))
    with pytest.warns(OutputSiteWarning, match="binary site '1' is the classifier's output"):
        binarize(one, "1")


def test_output_is_what_is_called_last_where_an_example_tells():
    with pytest.warns(OutputSiteWarning, match=r"'body' is .* output \(by the order of definition; example=x finds"):
        assert binary_units(binarize(Classifier(), "output"))[0].site == "body"
    with pytest.warns(OutputSiteWarning, match="'head' is the classifier's output:"):
        assert binary_units(binarize(Classifier(), "output", example=X))[0].site == "head"
    with pytest.warns(OutputSiteWarning, match="'1.part' is the classifier's output"):  # not its latent weight
        net = binarize(binarize_weights(nn.Sequential(nn.Linear(8, 8), First(nn.Linear(8, 3)))), "output")
    assert binary_units(net)[0].site == "1.part"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        binarize(Classifier(), "body", example=X)  # defined last, called first


def test_a_net_without_parameters_has_sites_and_no_output_layer():
    net = binarize(nn.Sequential(nn.Tanh(), nn.Softmax(1)), "all", mode="deterministic")
    assert torch.equal(net(X), (X >= 0).float().softmax(1))
    with pytest.raises(ValueError, match="'output': the net has no layer with parameters"):
        binarize(nn.Sequential(nn.Identity(), nn.Tanh()), "output")


def test_which_modules_are_activation_sites():
    class Own(nn.ReLU):
        pass

    net = nn.Sequential(nn.GLU(), Own(), nn.Softmax(1), nn.PReLU(), nn.MultiheadAttention(2, 1))
    assert activation_sites(net) == ["1", "3"]
    with pytest.raises(ValueError, match=r"'all' finds no activation module .*F\.relu is none"):
        binarize(nn.ReLU(), "all")


def test_a_learned_baseline_is_no_site_and_without_an_example_nothing_is_placed():
    net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="learns a baseline"):
        binarize(net, 1, "nvil")
    assert not binary_units(net)
    assert activation_sites(binarize(net, 1, "nvil", example=X)) == ["1"]


def test_one_module_at_several_places():
    linear, block = nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    with pytest.raises(ValueError, match="'0' is one module with '1', and a unit behind it would act there as well"):
        binarize(nn.Sequential(linear, linear, nn.Linear(8, 2)), "0")
    net = binarize(nn.Sequential(linear, linear, nn.Linear(8, 2)), ["0", "1"], mode="deterministic", levels="pm1")
    read = seen_behind(net)
    net(X)
    once = linear.forward(X).sign()
    assert torch.equal(read(), linear.forward(once).sign())
    assert activation_sites(nn.Sequential(block, block)) == ["0.1"]
    net = binarize(nn.Sequential(block, block, nn.Linear(8, 2)), ["0.1", "1.1"])
    assert [unit.site for unit in binary_units(net)] == ["0.1"]


@pytest.mark.parametrize("name", ["0", "1", "2", "3"])
def test_copies_and_pickles_before_and_after_the_first_pass(name):
    net = nn.Sequential(nn.Sequential(nn.Linear(8, 8)), nn.Tanh(), Children(), nn.Linear(8, 8), nn.Linear(8, 2))
    binarize(net, name, mode="deterministic")
    for _ in range(2):
        file = io.BytesIO()
        torch.save(net, file)
        file.seek(0)
        for twin in (torch.load(file, weights_only=False), copy.deepcopy(net)):
            assert torch.equal(twin(X), net(X))
            assert [unit.site for unit in binary_units(twin)] == [name]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_traced_and_compiled_nets_send_out_the_same_and_are_not_looked_at():
    net = binarize(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), "all", mode="deterministic")
    expected = copy.deepcopy(net)(X)
    late: Any = torch.compile(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), backend="eager")
    late(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnreachedSiteWarning)
        warnings.filterwarnings("error", "Converting a tensor")  # what a trace would hold fast
        assert torch.equal(torch.fx.symbolic_trace(net)(X), expected)
        traced: Any = torch.jit.trace(net, (X,))
        assert torch.equal(traced(X), expected)
        part: Any = torch.compile(copy.deepcopy(net), backend="eager")
        assert torch.equal(nn.Sequential(part)(X), expected)
        assert set(binarize(late, "all", mode="deterministic")(X).unique().tolist()) == {0, 1}
