"""What every network does. A new one joins by a row in NETS."""

import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from modules import build, build_decoder, normal, stirred
from sklearn.base import clone
from sklearn.datasets import load_wine
from torch import nn

from skvae import VAETransformer
from skvae._torch.row_wise import is_row_wise
from skvae._torch.runtime import seeded
from skvae.networks import MLP, Conv, Network, Recurrent, ResidualMLP
from skvae.networks._base import build_network, he_start

# with 6 inputs
NETS = {
    "linear": MLP(()),
    "one layer": MLP((5,)),
    "no skip": MLP((5,), skip=False),
    "three layers": MLP((7, 5, 3), "tanh"),
    "list, dropout": MLP([8, 8], "silu", dropout=0.3, initialization="glorot"),
    "no blocks": ResidualMLP(8, 0),
    "blocks, dropout": ResidualMLP(8, 3, "elu", dropout=0.3, skip=False),
    "grey image": Conv((2, 3), (3, 2), width=5),
    "colour image": Conv((1, 2, 3), [4], n_blocks=2, width=5, activation="relu", skip=False),
    "gru": Recurrent(6, 5),
    "lstm": Recurrent((3, 2), 5, "lstm", bidirectional=False, skip=False),
}


@pytest.mark.parametrize("network", NETS.values(), ids=NETS)
class TestEveryNetwork:
    @pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
    def test_maps_the_last_axis(self, network, shape):
        assert build(network)(normal(*shape, 6)).shape == (*shape, 4)

    def test_rows_do_not_mix(self, network):
        module, x = stirred(build(network)), normal(5, 6)
        torch.testing.assert_close(module(x)[2], module(x[2]))

    def test_a_row_wise_module_has_the_same_bits_for_a_row_whatever_the_others(self, network):
        module = stirred(build(network))
        if not (module.row_wise and is_row_wise()):
            pytest.skip("scores with this network are in the type of the table")

        def derivatives(x):
            x = x.clone().requires_grad_()
            found = module(x)
            (gradient,) = torch.autograd.grad(found.square().sum(), x, create_graph=True)
            parts = [found, gradient]
            if gradient.requires_grad:
                parts += torch.autograd.grad(gradient[:, 0].sum(), x)
            return parts

        n = 2 * getattr(module, "rows_at_once", 300) + 3  # the last piece is small
        x = normal(min(n, 20_000), 6)
        x = x if len(x) == n else x[:301]
        whole = derivatives(x)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        for size in (len(x), 37, 3, 1):
            some = order[:size]
            for part, of_all in zip(derivatives(x[some]), whole, strict=True):
                assert torch.equal(part, of_all[some])

    def test_start_weights_come_from_their_generator(self, network):
        one, same, other = (build(network, seed=seed) for seed in (0, 0, 1))
        for a, b in zip(one.parameters(), same.parameters(), strict=True):
            assert torch.equal(a, b)
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert not torch.equal(a, b) or not a.any()  # some start at 0

    def test_weights_are_float32_and_learned(self, network):
        for parameter in build(network).parameters():
            assert parameter.dtype == torch.float32
            assert parameter.requires_grad

    def test_output_gain_scales_the_start(self, network):
        x = normal(5, 6)
        torch.testing.assert_close(build(network, gain=0.1)(x), 0.1 * build(network)(x))

    def test_same_generator_same_output(self, network):
        module, x = build(network), normal(5, 6)
        assert torch.equal(module(x), module(x))
        one, same = (
            module.vjp(x, torch.Generator().manual_seed(3), to_x=True)[0] for _ in range(2)
        )
        assert torch.equal(one, same)

    def test_is_a_value(self, network):
        twin = clone(network)
        assert twin == network
        assert twin is not network
        assert type(twin)(**twin.get_params()) == twin
        with pytest.raises(ValueError, match=r"Invalid parameter 'nonsense' for"):
            twin.set_params(nonsense=1)

    def test_decodes(self, network):
        assert build_decoder(network)(normal(2, 3, 4)).shape == (2, 3, 6)
        starts_at_zero = not build_decoder(network, gain=0.0)(normal(3, 4)).any()
        depends_on_the_code = isinstance(network, Recurrent) and network.skip is False
        assert starts_at_zero != depends_on_the_code

    def test_training_differs_by_dropout_only(self, network):
        module, x = stirred(build(network)), normal(5, 6)
        found, _ = module.vjp(x, torch.Generator(), to_x=True)
        has_dropout = network.get_params().get("dropout", 0) > 0
        assert torch.allclose(found, module(x), atol=1e-6) != has_dropout

    def test_a_start_from_a_linear_map(self, network):
        module, weight, bias = build(network, gain=0.0), normal(4, 6), normal(4, seed=2)
        assert module.has_linear == (network.get_params()["skip"] is not False)
        if module.has_linear:
            module.set_linear(weight, bias)
            x = normal(3, 6, seed=3)
            torch.testing.assert_close(module(x), x @ weight.T + bias)

    def test_skip_is_chosen_where_it_is_none(self, network):
        assert network.resolved(False).skip is False
        kept = network.skip
        assert network.resolved(True).skip is (True if kept is None else kept)


@pytest.mark.filterwarnings("ignore:Posterior collapse")  # after two epochs
@pytest.mark.parametrize("network", [n for n in NETS.values() if not isinstance(n, MLP)], ids=str)
def test_the_decoder_is_of_the_same_kind_by_default(network):
    X = np.random.default_rng(0).normal(size=(40, 6))
    settings = {"max_iter": 2, "likelihood": "gaussian", "random_state": 0}
    vae = VAETransformer(2, encoder=network, **settings).fit(X)
    both = VAETransformer(2, encoder=network, decoder=network, **settings).fit(X)
    np.testing.assert_array_equal(vae.score_samples(X[:3]), both.score_samples(X[:3]))


@dataclass
class Plain(Network):
    """Modules of torch, whose start weights come from its global generator."""

    dropout: float = 0.2

    def build(self, n_inputs, n_outputs, *, output_gain, generator):
        return torch.nn.Sequential(
            torch.nn.Linear(n_inputs, 8),
            torch.nn.BatchNorm1d(8),
            torch.nn.Dropout(self.dropout),
            torch.nn.Linear(8, n_outputs),
        )


class TestModulesOfTorch:
    def module(self, role="encoder", seed=0):
        generator = torch.Generator().manual_seed(seed)
        return build_network(Plain(), [], 6, 4, output_gain=1.0, generator=generator, role=role)

    def test_start_weights_are_of_the_seed_and_the_role(self):
        one, same = self.module(), self.module()
        torch.testing.assert_close(one.state_dict(), same.state_dict())
        for other in (self.module(seed=1), self.module(role="decoder")):
            assert not torch.equal(other.module[0].weight, one.module[0].weight)

    def test_training_mode_is_for_training(self):
        module, x = self.module(), normal(2, 5, 6)
        kept = module.module[1].running_mean.clone()
        torch.testing.assert_close(module(x), module(x))
        assert torch.equal(module.module[1].running_mean, kept)
        drawn = [module(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
        torch.testing.assert_close(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])
        assert not torch.equal(module.module[1].running_mean, kept)
        assert not module.module.training
        assert drawn[0].shape == (2, 5, 4)

    def test_a_single_row_is_normalised_by_the_running_statistics(self):
        module, x = self.module(), normal(5, 6)
        module(x, torch.Generator())  # changes the statistics
        running = module.module[1].running_mean.clone()
        one = module.module[1](module.module[0](x[:1]))  # as in evaluation
        module.module[2].p = 0.0
        found = module(x[:1], torch.Generator())
        torch.testing.assert_close(found, module.module[3](one))
        assert torch.equal(module.module[1].running_mean, running)
        drawn = module(x, torch.Generator())
        assert not torch.allclose(drawn[:1], found)

    def test_a_fit_repeats_and_keeps_the_buffers_of_its_best_epoch(self):
        X = load_wine().data
        fits = [
            VAETransformer(2, encoder=Plain(), decoder=Plain(0.0), max_iter=6, random_state=0).fit(
                X
            )
            for _ in range(2)
        ]
        np.testing.assert_array_equal(*(vae.score_samples(X) for vae in fits))
        other = pickle.loads(pickle.dumps(fits[0]))
        np.testing.assert_array_equal(other.transform(X), fits[0].transform(X))


def test_a_network_needs_build():
    with pytest.raises(NotImplementedError, match=r"Network has no method build\(n_inputs"):
        build(Network())


@dataclass
class Own(Network):
    skip: object = None
    made: int = field(init=False, default=3)


def test_fields_of_custom_networks_stay():
    network = Own()
    assert network.resolved(True) is network


def test_he_start_keeps_the_size_of_the_signal():
    x = normal(50, 64, 8, 8)
    with seeded(0):
        layers = nn.Conv2d(64, 32, 3), nn.ConvTranspose2d(64, 32, 4, stride=2), nn.Linear(8, 99)
    for layer in layers:
        he_start(layer, torch.Generator().manual_seed(0))
        inside = layer(x)[..., 2:-2, 2:-2].detach()  # without borders
        assert float(inside.square().mean()) == pytest.approx(2, rel=0.2)
        assert not layer.bias.any()


def test_an_encoder_of_another_kind_gets_the_default_decoder():
    assert Network().mirror() is None
    assert Plain().mirror() is None
