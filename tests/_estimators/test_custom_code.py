"""Custom likelihoods, networks, objectives and priors in a fit."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from fits import QUICK, assert_same_state

from skvae import VAETransformer
from skvae._model.state import arrays_of, load_arrays
from skvae.likelihoods import Gaussian, Likelihood
from skvae.networks import Network, NetworkModule
from skvae.objectives import Objective
from skvae.priors import Prior
from skvae.priors._modules import NormalMixture


class Affine(NetworkModule):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.linear = torch.nn.Linear(n_inputs, n_outputs)

    def forward(self, x, generator=None):
        return self.linear(x)


class Linear(Network):
    def build(self, n_inputs, n_outputs, *, output_gain, generator):
        return Affine(n_inputs, n_outputs)


class Shifted(Prior):
    """A normal whose mean a layer of torch's draws, and a gradient moves."""

    def fit(self, draw, n_rows, n_components, seed, trained):
        layer = torch.nn.Linear(1, n_components)
        with torch.enable_grad():
            (layer.bias * torch.as_tensor(draw(1)[0])).sum().backward()
        mean = (layer.bias + layer.bias.grad).detach()
        return NormalMixture(torch.zeros(1), mean[None], torch.eye(n_components)[None])


def test_custom_code_gets_a_generator_of_the_fit(wine):
    settings = {"encoder": Linear(), "decoder": Linear(), "prior": Shifted()}

    def fit(random_state):
        return VAETransformer(3, **QUICK | settings | {"random_state": random_state}).fit(wine)

    one, other = fit(0), fit(1)
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            same = fit(0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_state(one, same)
    assert one.score(wine) == same.score(wine)
    weights = [vae.module_.encoder.linear.weight for vae in (one, other)]
    assert (weights[0] != weights[1]).any()
    square = one.module_.decoder.linear.weight[:3, :3]
    assert (square != weights[0][:3, :3]).any()


@dataclass
class Dropped(Network):
    """With dropout, batch normalisation and a part named ``prior``."""

    def build(self, n_inputs, n_outputs, *, output_gain, generator):
        module = torch.nn.Sequential()
        module.add_module("prior", torch.nn.Linear(n_inputs, 8))
        module.add_module("norm", torch.nn.BatchNorm1d(8))
        module.add_module("drop", torch.nn.Dropout(0.2))
        module.add_module("last", torch.nn.Linear(8, n_outputs))
        return module


def dropped(random_state, **settings):
    settings = QUICK | {"random_state": random_state} | settings
    return VAETransformer(3, encoder=Dropped(), decoder=Dropped(), **settings)


@pytest.mark.parametrize("batch_size", [1, "auto"])
def test_batch_normalisation_accepts_minibatches_of_one_row(wine, batch_size):
    copies = np.repeat(wine[:1], 40, axis=0)
    for table in (wine[:20], copies):
        vae = dropped(0, batch_size=batch_size).fit(table)
        assert np.isfinite(vae.transform(table)).all()
    assert np.isfinite(dropped(0).partial_fit(wine).partial_fit(wine[:1]).transform(wine)).all()


def test_threads_do_not_share_a_generator(wine):
    alone = [dropped(seed).fit(wine) for seed in range(4)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: dropped(seed).fit(wine), range(4)))
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(alone, together, strict=True):
        assert_same_state(one, other)


def test_a_pickle_holds_every_weight_of_a_network(wine):
    vae = dropped(0).fit(wine)
    again = pickle.loads(pickle.dumps(vae))
    assert_same_state(vae, again)
    np.testing.assert_array_equal(again.transform(wine), vae.transform(wine))
    arrays = arrays_of(vae.module_)
    arrays["other"] = arrays.pop("encoder.module.prior.weight")
    with pytest.raises(ValueError, match=r"\['encoder.module.prior.weight'\] .* \['other'\]"):
        load_arrays(vae.module_, arrays)


class Frozen(Linear):
    def build(self, *sizes, **how):
        module = super().build(*sizes, **how)
        module.linear.weight.requires_grad_(False)
        return module


def test_parameters_without_a_gradient_do_not_change(wine):
    vae = VAETransformer(3, encoder=Frozen(), alpha=5.0, **QUICK).fit(wine)
    linear, start = vae.module_.encoder.linear, linear_of(wine)
    assert torch.equal(linear.weight, start.weight)
    assert not torch.equal(linear.bias, start.bias)


def linear_of(wine):
    """The encoder's layer before training, but for a minute step."""
    few = {"learning_rate_init": 1e-30, "early_stopping": False}
    return VAETransformer(3, encoder=Frozen(), **QUICK | few).fit(wine).module_.encoder.linear


class Wide(Linear):
    def build(self, n_inputs, n_outputs, **how):
        return Affine(n_inputs, n_outputs + 1)


class Lazy(Network):
    def build(self, n_inputs, n_outputs, **how):
        return torch.nn.LazyLinear(n_outputs)


class Scalar(Objective):
    def bound(self, log_px, draws):
        return (log_px.mean(0) - draws.kl().sum(-1)).mean()


def test_wrong_shapes_from_custom_code_are_refused(wine):
    with pytest.raises(ValueError, match=r"decoder that Wide.build .* \(2, 14\); .* \(2, 13\)"):
        VAETransformer(3, decoder=Wide(), likelihood="bernoulli", **QUICK).fit(wine > 5)
    with pytest.raises(ValueError, match=r"Scalar.bound must return .* got the shape \(\)"):
        VAETransformer(3, objective=Scalar(), **QUICK).fit(wine)


def test_a_lazy_module_is_initialised_by_the_seed(wine):
    before = torch.get_rng_state()
    one, other = (VAETransformer(3, encoder=Lazy(), **QUICK).fit(wine) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_state(one, other)


class Failing(Prior):
    def fit(self, draw, n_rows, n_components, seed, trained):
        raise OverflowError("no prior")


def test_a_prior_that_fails_loses_no_training(wine):
    vae, expected = VAETransformer(3, prior=Failing(), **QUICK), VAETransformer(3, **QUICK)
    with pytest.raises(OverflowError, match="no prior"):
        vae.fit(wine)
    assert_same_state(vae, expected.fit(wine))


class Undeclared(Gaussian):
    def __init__(self, width):
        super().__init__()
        self.width = width


def test_parameters_must_be_fields(wine):
    with pytest.raises(TypeError, match="Undeclared has an __init__ but is not a dataclass"):
        VAETransformer(likelihood={0: Undeclared(1.0), 1: Undeclared(5.0)}, **QUICK).fit(wine)


class OddNames(Likelihood):
    """A Gaussian whose tensors have names of attributes of modules."""

    def parameters(self, constants):
        zeros = torch.zeros(constants["mean"].shape)
        names = ("location", "half", "features")
        return {name: torch.nn.Parameter(zeros.clone()) for name in names} | {"emphasis": zeros}

    def fit(self, x, weight):
        return {"mean": x.mean(axis=0)}

    def log_prob(self, x, outputs, parameters):
        shift = outputs + parameters["location"] + parameters["half"] + parameters["emphasis"]
        return torch.distributions.Normal(shift, 10.0).log_prob(x)

    def mean(self, outputs, parameters):
        return outputs

    def sample(self, outputs, parameters, generator):
        return outputs


def test_tensors_may_have_any_name(wine):
    vae = VAETransformer(2, likelihood=OddNames(), **QUICK).fit(wine)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(vae)).score_samples(wine), vae.score_samples(wine)
    )
