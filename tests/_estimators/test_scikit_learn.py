"""scikit-learn's pipelines, searches, callbacks and pickles."""

import copy
import os
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from fits import QUICK, StopAt, assert_same_state
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn import config_context
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits, load_wine
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.likelihoods import Bernoulli, Gaussian
from skvae.networks import MLP
from skvae.objectives import IWAE


def test_frames_in_and_out(wine):
    names = load_wine().feature_names
    frame = pd.DataFrame(wine, columns=names, index=np.arange(178) * 10)
    vae = VAETransformer(2, **QUICK).fit(frame)
    back = vae.reconstruct(frame)
    assert list(back.columns) == list(frame.columns)
    assert back.index.equals(frame.index)
    assert list(vae.sample(3, random_state=0).columns) == names
    assert list(vae.get_feature_names_out()) == ["vaetransformer0", "vaetransformer1"]
    codes = vae.set_output(transform="pandas").transform(frame)
    assert codes.index.equals(frame.index)
    assert vae.inverse_transform(codes).index.equals(frame.index)
    with config_context(transform_output="polars"):
        codes = VAETransformer(2, **QUICK).fit_transform(frame)
    assert isinstance(codes, pl.DataFrame)
    vae = VAETransformer(2, **QUICK).fit(pl.DataFrame(wine, schema=names))
    assert isinstance(vae.sample(3, random_state=0), pl.DataFrame)
    assert vae.reconstruct(pl.DataFrame(wine, schema=names)).columns == names


def test_likelihoods_by_column_name(wine):
    frame = pd.DataFrame({"a": wine[:, 0], "b": wine[:, 1] > 2, "c": wine[:, 2]})
    vae = VAETransformer(2, **QUICK, likelihood={"b": Bernoulli(), "c": Gaussian("shared")})
    vae.fit(frame.astype(float))
    sample = vae.sample(100, random_state=0)
    assert set(sample["b"]) == {0.0, 1.0}
    assert list(sample.columns) == ["a", "b", "c"]


def test_nested_parameters_reach_into_values(wine):
    pipeline = make_pipeline(StandardScaler(), VAETransformer(2, **QUICK, encoder=MLP((8,))))
    pipeline.set_params(vaetransformer__encoder__activation="tanh")
    assert pipeline.get_params()["vaetransformer__encoder__activation"] == "tanh"
    search = GridSearchCV(
        pipeline, {"vaetransformer__encoder__hidden_layer_sizes": [(4,), (8, 8)]}, cv=2
    ).fit(wine)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_fitted_model_keeps_its_values(wine):
    encoder, likelihood = MLP((8,)), Gaussian()
    vae = VAETransformer(2, **QUICK, encoder=encoder, likelihood=likelihood).fit(wine)
    before = vae.score_samples(wine)
    encoder.hidden_layer_sizes, likelihood.scale = (3, 3), 2.0
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(vae)).score_samples(wine), before)


def test_grid_search_skips_a_candidate_that_diverges(wine):
    search = GridSearchCV(
        VAETransformer(2, **QUICK, gradient_clip=None), {"learning_rate_init": [1e-3, 1e30]}, cv=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(wine)
    np.testing.assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [False, True])
    assert search.best_params_ == {"learning_rate_init": 1e-3}


def test_grid_search_is_the_same_in_parallel(wine):
    frame = pd.DataFrame(wine, columns=load_wine().feature_names)
    pipeline = make_pipeline(MinMaxScaler(), VAETransformer(**QUICK))
    grid = {
        "vaetransformer__n_components": [1, 2],
        "vaetransformer__beta": [0.5, 1.0],
        "vaetransformer__hidden_layer_sizes": [(8,), (600, 400)],
    }

    def scores(model, X, y=None):
        return {"score": model.score(X), "threads": torch.get_num_threads()}

    one, two = (
        GridSearchCV(pipeline, grid, cv=2, n_jobs=n, scoring=scores, refit=False).fit(frame)
        for n in (1, 2)
    )
    for split in ("split0_test_score", "split1_test_score"):
        # scores are computed in pieces, by the number of threads
        np.testing.assert_allclose(one.cv_results_[split], two.cv_results_[split], rtol=1e-9)
    assert 2 * two.cv_results_["mean_test_threads"].max() <= max(2, os.cpu_count())


def test_weights_are_routed(wine):
    with config_context(enable_metadata_routing=True):
        vae = VAETransformer(3, **QUICK).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), vae)
        weight = np.arange(178) % 3
        pipeline.fit(wine, sample_weight=weight)
        direct = clone(vae).fit(StandardScaler().fit_transform(wine), sample_weight=weight)
    assert_same_state(pipeline[-1], direct)


def test_an_objective_may_be_an_instance(wine):
    by_name = VAETransformer(2, objective="iwae", n_draws=3, beta=0.5, **QUICK).fit(wine)
    passed = IWAE(0.5)
    by_value = VAETransformer(2, objective=passed, n_draws=3, **QUICK).fit(wine)
    assert_same_state(by_name, by_value)
    assert passed == IWAE(0.5)
    with pytest.raises(ValueError, match=r"has its own beta and free_bits.*Set objective__beta"):
        VAETransformer(2, objective=passed, beta=0.5, **QUICK).fit(wine)
    assert clone(by_value).set_params(objective__beta=2.0).objective == IWAE(2.0)


def test_a_pickle_from_a_device_that_is_missing_loads_to_the_cpu(fitted, wine):
    other = copy.copy(fitted._fitted)
    with pytest.warns(UserWarning, match="now on the CPU: device='cuda:99' is not available"):
        other.__setstate__(fitted._fitted.__getstate__() | {"device": "cuda:99"})
    assert other.device == torch.device("cpu")
    np.testing.assert_array_equal(other.codes(wine, wine.dtype), fitted.transform(wine))


def test_pickle_holds_arrays_only(fitted, wine):
    pickled = pickle.dumps(fitted)
    assert b"torch._utils" not in pickled  # which rebuilds tensors on their device
    other = pickle.loads(pickled)
    np.testing.assert_array_equal(other.score_samples(wine), fitted.score_samples(wine))
    assert isinstance(other.module_, torch.nn.Module)
    assert_same_state(other.partial_fit(wine), copy.deepcopy(fitted).partial_fit(wine))


def test_the_repr_links_to_the_documentation():
    assert "generated/skvae.VAETransformer.html" in VAETransformer()._repr_html_()


@pytest.mark.parametrize(
    "estimator",
    [
        VAETransformer(2, **QUICK, verbose=1),
        VAEImputer(VAETransformer(2, **QUICK), verbose=1),
        VAEOutlierDetector(VAETransformer(2, **QUICK), verbose=1),
    ],
)
def test_verbose_prints_a_line_for_each_epoch(estimator, wine, capsys):
    clone(estimator).fit(wine)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["Epoch 1", "Epoch 2", "Epoch 3"]
    assert all("validation score" in line for line in lines)


def test_verbose_says_where_the_second_phase_begins(capsys):
    vae = VAETransformer(2, hidden_layer_sizes=4, max_iter=6, verbose=1, random_state=0)
    vae.fit(load_digits().data[:200])
    lines = capsys.readouterr().out.splitlines()
    assert 0 < vae.n_iter_codes_ < vae.n_iter_
    assert lines[vae.n_iter_codes_].startswith("The second phase begins.")
    assert sum(line.startswith("Epoch") for line in lines) == vae.n_iter_ == len(lines) - 1


def test_scores_agree_with_quadrature(wine):
    train, test = train_test_split(wine, test_size=30, random_state=0)
    vae = VAETransformer(1, random_state=0, max_iter=30).fit(train)
    z = np.linspace(-8, 8, 4001)
    model = copy.deepcopy(vae.module_).cpu().double()
    x = model.cells(torch.from_numpy(vae._fitted.columns.to_working(test, None, np.float64)))
    with torch.no_grad():
        log_px = model.log_prob(x, model.decode(torch.from_numpy(z)[:, None, None])).numpy()
    exact = logsumexp(log_px + norm.logpdf(z)[:, None] + np.log(z[1] - z[0]), axis=0)
    exact += vae._fitted.columns.log_jacobian(test, None)
    score = vae.score_samples(test, n_importance=1024)
    assert (score - exact).mean() == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(score, exact, atol=0.2)


def test_a_callback_ends_training(wine):
    vae = VAETransformer(2, **QUICK).set_callbacks(StopAt(2)).fit(wine)
    assert vae.n_iter_ == 2
    inside = make_pipeline(StandardScaler(), vae).fit(wine)
    assert inside[-1].n_iter_ == 2


@pytest.mark.parametrize("table", ["wine", "digits"])
def test_the_fitted_estimator_of_an_epoch_is_as_if_training_had_stopped(wine, table):
    seen = []

    class Look(StopAt):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            names = ("loss_curve_", "kl_curve_", "learning_rates_", "kl_divergence_", "scale_")
            seen.append({name: getattr(fitted_estimator, name) for name in names})

    X = wine if table == "wine" else load_digits().data[:200]
    vae = VAETransformer(3, warm_start=True, **QUICK, early_stopping=False)
    plain = clone(vae).fit(X)
    vae.set_callbacks(Look(None)).fit(X)
    assert_same_state(vae, plain)  # looking changes nothing
    *epochs, end = seen
    for n, epoch in enumerate(epochs, start=1):
        for name in ("loss_curve_", "kl_curve_", "learning_rates_"):
            assert epoch[name] == end[name][:n]
    assert not np.allclose(epochs[0]["scale_"], epochs[1]["scale_"])
    for name in ("kl_divergence_", "scale_"):  # put in order after the last epoch
        np.testing.assert_allclose(np.sort(epochs[-1][name]), np.sort(end[name]), rtol=1e-5)

    seen.clear()
    vae.set_params(max_iter=5).fit(X)
    assert [len(epoch["loss_curve_"]) for epoch in seen] == [4, 5, 5]


class RaiseAtTheEnd(StopAt):
    """A callback that fails when the fit ends."""

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "fit":
            raise RuntimeError("no disk to write to")


def test_a_callback_that_fails_after_training_loses_nothing(wine):
    vae = VAETransformer(3, **QUICK).set_callbacks(RaiseAtTheEnd(0))
    with pytest.raises(RuntimeError, match="no disk"):
        vae.fit(wine)
    assert vae.n_iter_ == 3
    assert vae.transform(wine).shape == (178, 3)


def test_a_progress_bar_runs_through_a_search(wine, capsys):
    pytest.importorskip("rich")
    search = GridSearchCV(
        make_pipeline(StandardScaler(), VAETransformer(**QUICK)),
        {"vaetransformer__n_components": [1, 2]},
        cv=2,
    )
    search.set_callbacks(ProgressBar()).fit(wine)
    assert "epoch" in capsys.readouterr().out or search.best_params_


def test_a_monitor_scores_each_epoch(wine):
    monitor = ScoringMonitor(scoring={"score": lambda vae, X, y: vae.score(X)})
    vae = VAETransformer(2, likelihood="gaussian", **QUICK, early_stopping=False)
    vae.set_callbacks(monitor)
    vae.fit(wine, load_wine().target)
    (log,) = monitor.get_logs(select="all")
    scores = [row["score"] for row in log.data if row["task_name"] == "epoch"]
    assert len(set(scores)) == 3
    # components are put in order after the last epoch, which changes the draws of a score
    assert scores[-1] == pytest.approx(vae.score(wine), abs=0.02)


@pytest.mark.filterwarnings("ignore:Posterior collapse")  # after a few epochs
@pytest.mark.parametrize(
    ("likelihood", "told", "has_skip"),
    [
        ("gaussian", None, True),
        ("bernoulli", None, False),
        ("bernoulli", True, True),
        ("gaussian", False, False),
    ],
)
def test_networks_have_a_linear_map_where_pca_can_start_it(likelihood, told, has_skip):
    z = np.random.default_rng(0).normal(size=(80, 1))
    X = (z + 0.5 * np.random.default_rng(1).normal(size=(80, 4)) > 0).astype(float)
    encoder = MLP((8,), skip=told)
    vae = VAETransformer(1, encoder=encoder, likelihood=likelihood, **QUICK).fit(X)
    for network in (vae.module_.encoder, vae.module_.decoder):
        assert (network.skip is not None) == has_skip
    assert encoder.skip is told
    vae.set_params(warm_start=True, max_iter=4).fit(X)
    assert vae.n_iter_ == 4
