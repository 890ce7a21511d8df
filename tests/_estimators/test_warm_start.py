"""Training that continues."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from fits import QUICK
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae.networks import MLP, Network
from skvae.priors import Mixture, Prior
from skvae.priors._modules import NormalMixture


def test_warm_start_continues_to_max_iter(wine):
    vae = VAETransformer(2, **QUICK, warm_start=True).fit(wine)
    before = vae.loss_curve_
    with pytest.warns(ConvergenceWarning, match=r"No epoch is left.*max_iter=3.*Raise max_iter"):
        vae.fit(wine)
    assert vae.loss_curve_ == before
    vae.set_params(max_iter=6).fit(wine)
    assert vae.n_iter_ == 6
    assert vae.loss_curve_[:3] == before
    with pytest.raises(ValueError, match=r"n_components=2 and cannot continue with 3"):
        vae.set_params(n_components=3).fit(wine)


@dataclass
class Shifted(Prior):
    """A normal whose mean is learned."""

    start: float = 0.0

    def build(self, n_components, n_rows, generator):
        one, root = torch.zeros(1), torch.eye(n_components)[None]
        return NormalMixture(one, torch.full((1, n_components), self.start), root)


def test_a_prior_of_training_cannot_change(wine):
    vae = VAETransformer(2, **QUICK, prior=Shifted(), warm_start=True).fit(wine)
    vae.set_params(max_iter=4, prior=Shifted(1.0))
    with pytest.raises(ValueError, match=r"prior=Shifted\(start=0.0\) and cannot continue"):
        vae.fit(wine)
    after = Mixture(learned=False)
    with pytest.raises(ValueError, match=r"cannot continue with Normal\(\)"):
        vae.set_params(prior=after).partial_fit(wine)
    assert vae.n_iter_ == 3
    fitted_after = VAETransformer(2, **QUICK, warm_start=True).fit(wine)
    fitted_after.set_params(max_iter=4, prior=after).fit(wine)
    assert isinstance(fitted_after.module_.prior, NormalMixture)


def test_partial_fit_checks_parameters_each_time(wine):
    vae = VAETransformer(2, encoder=MLP(np.array([8, 8])), random_state=0).partial_fit(wine)
    vae.partial_fit(wine)  # sizes may be an array
    with pytest.raises(ValueError, match="'learning_rate_init' parameter"):
        vae.set_params(learning_rate_init=-0.1).partial_fit(wine)


def test_partial_fit_learns_chunk_by_chunk():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(2, 6))
    vae = VAETransformer(2, hidden_layer_sizes=(32,), learning_rate_init=1e-2, random_state=0)
    codes, noise = rng.normal(size=(60, 500, 2)), 0.1 * rng.normal(size=(60, 500, 6))
    test, *chunks = np.tanh(codes @ mixing) + noise
    scores = [vae.partial_fit(chunk).score(test) for chunk in chunks]
    assert vae.n_iter_ == len(vae.loss_curve_) == 59
    assert scores[-1] > scores[0] + 0.5
    assert scores[-1] > PCA(2).fit(np.concatenate(chunks)).score(test) + 0.5


def test_early_stopping_takes_the_best_epoch(wine):
    train, test = train_test_split(wine, random_state=0)
    vae = VAETransformer(3, random_state=1, n_iter_no_change=5).fit(train, X_val=test)
    assert vae.n_iter_ < 200
    assert len(vae.validation_scores_) == len(vae.loss_curve_) == vae.n_iter_
    best = int(np.argmax(vae.validation_scores_))
    assert vae.best_validation_score_ == vae.validation_scores_[best]
    assert vae.n_iter_ == best + 1 + 3  # half the patience in the smaller steps
    assert vae.elbo(test).mean() == pytest.approx(vae.best_validation_score_, abs=0.5)


class Flat(Network):
    """A network without parameters of its own, and so without a decorator."""

    def build(self, n_inputs, n_outputs, *, output_gain, generator):
        return torch.nn.Linear(n_inputs, n_outputs)


def test_an_undecorated_network_is_equal_to_its_copy(wine):
    vae = VAETransformer(2, encoder=Flat(), decoder=Flat(), random_state=0)
    clone(vae.partial_fit(wine)).get_params()
    assert vae.partial_fit(wine).n_iter_ == 2


def test_the_resolution_cannot_change(wine):
    vae = VAETransformer(2, random_state=0).partial_fit(wine).set_params(resolution=None)
    with pytest.raises(ValueError, match=r"resolution='auto' and cannot continue with None"):
        vae.partial_fit(wine)


@pytest.mark.parametrize("likelihood", ["log_normal", "beta"])
def test_later_values_outside_the_support_are_named(likelihood):
    X = np.random.default_rng(0).uniform(0.1, 0.9, size=(60, 2))
    vae = VAETransformer(1, likelihood=likelihood, random_state=0).partial_fit(X)
    X[3, 1] = 0
    with pytest.raises(ValueError, match=r"Column 1 .*, but it holds 0\.0"):
        vae.partial_fit(X)
