"""Bad input, failed fits and interrupts."""

import copy
import itertools
import pkgutil
import signal

import numpy as np
import pandas as pd
import pytest
from fits import QUICK, assert_same_state
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer
from skvae.likelihoods import Gaussian
from skvae.networks import MLP
from skvae.priors import Mixture
from skvae.priors._modules import StandardNormal

NO_TABLES = {
    "inf": (np.array([[1.0, np.inf], [2.0, 3.0]]), ValueError, "infinity"),
    "complex": (np.array([[1j, 1.0], [2.0, 3.0]]), ValueError, "Complex"),
    "dates": (np.array([["2020-01-01"], ["2020-01-02"]], dtype="M8[D]"), ValueError, "datetime64"),
    "frame of dates": (
        pd.DataFrame({"when": pd.to_datetime(["2020-01-01", "2020-01-02"]).astype(object)}),
        TypeError,
        "Column 'when' holds Timestamp.*pandas.to_datetime",
    ),
    "large numbers": (
        np.array([[2**53 + 1, 1], [2, 3]]),
        ValueError,
        "X holds 9007199254740993 in column 0, row 0, which float64 would round",
    ),
    "mixed objects": (
        np.array([["1", 2.0], [3.0, 4.0]], dtype=object),
        ValueError,
        "Column 0 mixes strings, as '1'",
    ),
    "mixed frame": (pd.DataFrame({"a": [1.0, "2"]}, dtype=object), ValueError, "Column 'a' mixes"),
    "objects": (np.array([[{}], [1.0]], dtype=object), TypeError, "Column 0 holds {}, a dict"),
    "nothing": (np.array([[1.0, np.nan], [2.0, np.nan]]), ValueError, "Column 1 holds no value"),
    "no rows": (np.empty((0, 3)), ValueError, "0 sample"),
    "one row": (np.ones((1, 3)), ValueError, "minimum of 2"),
    "no columns": (np.empty((3, 0)), ValueError, "0 feature"),
    "one axis": (np.arange(5.0), ValueError, "2D array"),
}


@pytest.mark.parametrize(("X", "error", "message"), NO_TABLES.values(), ids=NO_TABLES)
def test_invalid_tables_are_refused(X, error, message):
    vae = VAETransformer(**QUICK)
    with pytest.raises(error, match=message):
        vae.fit(X)
    assert vars(vae) == vars(clone(vae))


def test_masked_cells_are_missing(wine, fitted):
    assert_same_state(VAETransformer(3, **QUICK).fit(np.ma.masked_array(wine)), fitted)
    masked = np.ma.masked_inside(wine, 13, 14)
    gaps = masked.filled(np.nan)
    vae = VAETransformer(3, **QUICK).fit(masked)
    assert_same_state(vae, VAETransformer(3, **QUICK).fit(gaps))
    np.testing.assert_array_equal(vae.impute(masked), vae.impute(gaps))
    one, other = (vae.sample(given=table, random_state=0) for table in (masked, gaps))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="Z contains NaN"):
        vae.inverse_transform(np.ma.masked_equal([[1.0, 2.0, 3.0]], 2))


def test_masked_categories_are_missing():
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.choice(["a", "b"], 60), rng.normal(size=60)]).astype(object)
    table[:, 1] = table[:, 1].astype(float)
    mask = rng.random(table.shape) < 0.1
    masked = np.ma.array(table, mask=mask)
    gaps = np.where(mask, None, table)
    vae = VAETransformer(1, **QUICK).fit(masked)
    assert_same_state(vae, VAETransformer(1, **QUICK).fit(gaps))
    filled = vae.impute(masked)
    np.testing.assert_array_equal(filled, vae.impute(gaps))
    np.testing.assert_array_equal(filled[~mask], table[~mask])


FAULTS = {
    "negative weights": ({}, {"sample_weight": -np.ones(178)}, "negative"),
    "missing weights": (
        {},
        {"sample_weight": np.r_[1.0, np.full(177, np.nan)]},
        "sample_weight holds nan in row 1",
    ),
    "zero weights": ({}, {"sample_weight": np.zeros(178)}, "zero"),
    "short weights": ({}, {"sample_weight": np.ones(3)}, "sample_weight"),
    "support": ({"likelihood": "bernoulli"}, {}, r"Column 0 .*Bernoulli.*\[0, 1\].*it holds \d"),
    "unknown column": ({"likelihood": {"ash": "gaussian"}}, {}, "ash"),
    "unknown likelihood": ({"likelihood": "cauchy"}, {}, "likelihood"),
    "unknown likelihood of a column": ({"likelihood": {0: "cauchy"}}, {}, "cauchy"),
    "components": ({"n_components": 0}, {}, "n_components"),
    "type": ({"n_components": "two"}, {}, "n_components"),
    "learning rate": ({"learning_rate_init": 0.0}, {}, "learning_rate_init"),
    "hidden layer": ({"hidden_layer_sizes": 0}, {}, "hidden_layer_sizes"),
    "hidden layers": ({"hidden_layer_sizes": (0,)}, {}, "hidden_layer_sizes"),
    "activation": ({"activation": "sine"}, {}, "activation"),
    "nested activation": ({"encoder": MLP((4,), activation="sine")}, {}, "activation"),
    "encoder": ({"encoder": "mlp"}, {}, "encoder"),
    "dropout": ({"dropout": 1.0}, {}, "dropout"),
    "batch": ({"batch_size": -1}, {}, "batch_size"),
    "scale": ({"likelihood": Gaussian(-1.0)}, {}, "scale"),
    "device": ({"device": "cuda:77"}, {}, "device='cuda:77'"),
    "no device": ({"device": "abacus"}, {}, "device='abacus'"),
    "free bits": ({"free_bits": 1.0, "objective": "iwae"}, {}, "free_bits"),
    "divergence": (
        {"learning_rate_init": 1e30, "gradient_clip": None},
        {},
        r"epoch 1: .*learning_rate_init=1e\+30.*Lower",
    ),
    "validation columns": ({}, {"X_val": np.ones((5, 2))}, "2 features"),
}


@pytest.mark.parametrize(("settings", "arguments", "message"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("warm", [False, True])
def test_an_error_leaves_the_estimator_unchanged(wine, fitted, settings, arguments, message, warm):
    vae = copy.deepcopy(fitted) if warm else VAETransformer(3, **QUICK)
    vae.set_params(**settings)
    before = dict(vars(vae))
    with pytest.raises((ValueError, TypeError), match=message):
        vae.fit(wine, **arguments)
    assert vars(vae).keys() == before.keys()
    assert all(vars(vae)[name] is value for name, value in before.items())
    if warm:
        vae.set_params(**fitted.get_params())
        np.testing.assert_array_equal(vae.transform(wine), fitted.transform(wine))


def test_an_error_in_a_continued_fit_keeps_the_model(wine):
    vae = VAETransformer(3, **QUICK).fit(wine)
    before = vae.transform(wine)
    vae.set_params(learning_rate_init=1e30, gradient_clip=None)
    with pytest.raises(ValueError, match="diverged"):
        vae.partial_fit(wine)
    np.testing.assert_array_equal(vae.transform(wine), before)
    assert vae.n_iter_ == 3


def test_a_fit_goes_back_after_an_epoch_that_diverged(wine):
    settings = QUICK | {"learning_rate_init": 100.0}
    fits = []
    for _ in range(2):
        vae = VAETransformer(3, **settings)
        with pytest.warns(ConvergenceWarning, match=r"diverged .* epochs \[1\].*_init=100.0, or"):
            fits.append(vae.fit(wine))
    assert_same_state(*fits)
    assert fits[0].n_iter_ == 3
    assert np.isfinite(fits[0].loss_curve_).all()
    assert fits[0].learning_rates_[0] < 100


def test_partial_fit_goes_back_too(wine):
    vae = VAETransformer(3, **QUICK | {"learning_rate_init": 100.0})
    with pytest.warns(ConvergenceWarning, match="diverged"):
        vae.partial_fit(wine)
    assert vae.n_iter_ == 1
    assert np.isfinite(vae.transform(wine)).all()


def test_wrong_input_after_fit(wine, fitted):
    with pytest.raises(ValueError, match="12 features"):
        fitted.transform(wine[:, 1:])
    with pytest.raises(ValueError, match="n_components=3"):
        fitted.inverse_transform(np.zeros((2, 4)))
    swapped = pd.DataFrame(np.zeros((2, 3)), columns=fitted.get_feature_names_out()[::-1])
    with pytest.raises(ValueError, match="in another order"):
        fitted.inverse_transform(swapped)
    twice = pd.DataFrame(np.zeros((2, 3)), columns=["a", "b", "a"])
    for of_frame in (fitted.transform, fitted.inverse_transform, fitted.impute):
        with pytest.raises(ValueError, match="2 columns named 'a'"):
            of_frame(twice)
    with pytest.raises(ValueError, match="n_samples"):
        fitted.sample(0)
    with pytest.raises(ValueError, match="n_importance"):
        fitted.score_samples(wine, n_importance=0)
    frame = pd.DataFrame(wine, columns=[f"c{i}" for i in range(13)])
    named = VAETransformer(3, **QUICK).fit(frame)
    with pytest.raises(ValueError, match="feature names"):
        named.transform(frame.rename(columns={"c0": "other"}))


def test_an_interrupt_keeps_what_was_learnt(wine, capsys):
    class Interrupted(VAETransformer):
        def _report(self, fitted):
            if fitted.training.n_epochs == 2:
                raise KeyboardInterrupt

    vae = Interrupted(3, **QUICK)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(wine)
    assert vae.n_iter_ == 2
    assert vae.transform(wine).shape == (178, 3)


def interrupted(call, number):
    """The same function, but the keyboard interrupts its call of this number, after its work."""
    calls = itertools.count(1)

    def interrupted_once(*args, **kwargs):
        found = call(*args, **kwargs)
        if next(calls) == number:
            signal.raise_signal(signal.SIGINT)
        return found

    return interrupted_once


@pytest.mark.parametrize(
    ("place", "number"),
    [
        ("skvae._fit.posterior_means", 2),  # the first is before training
        ("skvae._fit.posterior_means", 3),
        ("skvae._model.components.ComponentOrder.sort", 1),
        ("skvae._fit.draw_codes", 1),
        ("skvae.priors.Mixture.fit", 1),
        ("skvae._judgement.Judgement._bounds", 2),
    ],
)
def test_an_interrupt_after_training_keeps_it(wine, fitted, monkeypatch, place, number):
    module, _, name = place.rpartition(".")
    owner = pkgutil.resolve_name(module)
    monkeypatch.setattr(owner, name, interrupted(getattr(owner, name), number))
    vae = VAETransformer(3, prior=Mixture(learned=False), **QUICK)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(wine)
    if name != "_bounds":  # by when the mixture was fitted
        assert_same_state(vae, fitted)  # of a standard normal prior
    np.testing.assert_array_equal(vae.transform(wine), fitted.transform(wine))
    np.testing.assert_array_equal(vae.kl_divergence_, fitted.kl_divergence_)


def test_an_interrupt_of_training_does_not_wait_for_a_mixture(wine, monkeypatch):
    class Interrupted(VAETransformer):
        def _report(self, fitted):
            raise KeyboardInterrupt

    monkeypatch.delattr("skvae.priors.Mixture.fit")
    vae = Interrupted(3, prior=Mixture(learned=False), **QUICK)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(wine)
    assert isinstance(vae.module_.prior, StandardNormal)
    assert vae.n_iter_ == 1
