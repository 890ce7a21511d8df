"""VAEOutlierDetector: rows of low likelihood, in the terms of scikit-learn's detectors."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from skvae import VAEOutlierDetector, VAETransformer

MODEL = VAETransformer(2, hidden_layer_sizes=(16,), max_iter=10)


@pytest.fixture(scope="module")
def wine():
    return load_wine().data


@pytest.fixture(scope="module")
def detector(wine):
    return VAEOutlierDetector(MODEL, contamination=0.1, random_state=0).fit(wine)


def test_scores_are_log_likelihoods_in_units_of_the_spread(detector, wine):
    expected = detector.estimator_.score_samples(wine) + np.log(wine.std(axis=0)).sum()
    np.testing.assert_allclose(detector.score_samples(wine), expected)
    np.testing.assert_allclose(
        detector.decision_function(wine), detector.score_samples(wine) - detector.offset_
    )


@pytest.mark.parametrize("contamination", [0.001, 0.05, 0.1, 0.33, 0.5])
def test_contamination_is_the_share_of_outliers(contamination, wine):
    detector = VAEOutlierDetector(MODEL, contamination=contamination, random_state=0).fit(wine)
    outliers = detector.predict(wine) == -1
    assert outliers.sum() == int(contamination * len(wine))
    score = detector.score_samples(wine)
    assert not outliers.any() or score[outliers].max() < score[~outliers].min()


def test_weights_equal_repetitions(wine):
    counts = np.arange(len(wine)) % 3
    one = VAEOutlierDetector(MODEL, random_state=0).fit(wine, sample_weight=counts)
    other = VAEOutlierDetector(MODEL, random_state=0).fit(np.repeat(wine, counts, axis=0))
    assert one.offset_ == pytest.approx(other.offset_, rel=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-308, 1e307])
def test_contamination_is_a_share_by_weight(scale, wine):
    weight = np.random.default_rng(0).random(len(wine)) * (np.arange(len(wine)) % 4 > 0)
    detector = VAEOutlierDetector(MODEL, random_state=0).fit(wine, sample_weight=scale * weight)
    score, offset = detector.score_samples(wine), detector.offset_
    assert weight[score < offset].sum() <= 0.1 * weight.sum() < weight[score <= offset].sum()


def test_fit_predict_scores_once(wine, monkeypatch):
    weight = np.arange(len(wine)) % 3
    expected = VAEOutlierDetector(MODEL, random_state=0).fit(wine, sample_weight=weight)
    score, scored = VAETransformer._unit_free_score, []
    with monkeypatch.context() as patch:
        patch.setattr(
            VAETransformer, "_unit_free_score", lambda self, X: scored.append(X) or score(self, X)
        )
        detector = VAEOutlierDetector(MODEL, random_state=0)
        labels = detector.fit_predict(wine, sample_weight=weight)
    assert len(scored) == 1
    np.testing.assert_array_equal(labels, expected.predict(wine))
    assert detector.offset_ == expected.offset_


def test_rows_that_are_unlike_any_are_outliers(detector, wine):
    strange = wine[::20].copy()
    strange[:, 0] = 30.0
    assert (detector.predict(strange) == -1).all()


@pytest.mark.parametrize(
    ("value", "dtype"), [(3.4e38, "float32"), (1e200, "float64"), (-1.7e308, "float64")]
)
def test_a_value_beyond_floating_point_makes_its_row_an_outlier(detector, wine, value, dtype):
    X = wine[:6].astype(dtype)
    extreme = X.copy()
    extreme[2, 3] = value
    expected = detector.score_samples(X)
    expected[2] = -np.inf
    np.testing.assert_allclose(detector.score_samples(extreme), expected, rtol=1e-6)
    labels = detector.predict(X)
    labels[2] = -1
    np.testing.assert_array_equal(detector.predict(extreme), labels)
    assert np.isfinite(detector.estimator_.transform(extreme)).all()
    assert np.isfinite(detector.estimator_.reconstruct(extreme)).all()


@pytest.mark.parametrize("n_impossible", [5, 60])
def test_impossible_training_rows_are_outliers_however_many(wine, monkeypatch, n_impossible):
    score = -np.arange(178.0)
    score[-n_impossible:] = -np.inf
    monkeypatch.setattr(VAETransformer, "_unit_free_score", lambda self, X: score)
    detector = VAEOutlierDetector(MODEL, contamination=0.1)
    labels = detector.fit_predict(wine)
    np.testing.assert_array_equal(labels == -1, np.arange(178) >= 178 - max(17, n_impossible))
    np.testing.assert_array_equal(detector.predict(wine), labels)
    score[:] = -np.inf
    with pytest.raises(ValueError, match="likelihood of each training row is 0"):
        detector.fit(wine)


def test_mixed_columns_and_gaps(wine):
    frame = pd.DataFrame(wine).rename(columns=str)
    frame["kind"] = np.where(wine[:, 0] > 13, "strong", "light")
    frame.iloc[::3, 2] = np.nan
    odd = frame.copy()
    odd.iloc[0, 13] = "light" if odd.iloc[0, 13] == "strong" else "strong"
    detector = VAEOutlierDetector(MODEL, random_state=0).fit(frame)
    assert detector.score_samples(odd)[0] < detector.score_samples(frame)[0]
    assert set(detector.fit_predict(frame)) == {-1, 1}


@pytest.mark.parametrize("contamination", [0, 0.6, "auto"])
def test_invalid_contamination(contamination, wine):
    with pytest.raises(ValueError, match="'contamination' parameter of VAEOutlierDetector"):
        VAEOutlierDetector(contamination=contamination).fit(wine)


def test_a_failed_fit_leaves_the_detector_unchanged(wine, monkeypatch):
    detector = VAEOutlierDetector(MODEL, random_state=0).fit(wine)
    before = detector.score_samples(wine), detector.offset_

    def fail(self, X):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(VAETransformer, "_unit_free_score", fail)
        with pytest.raises(MemoryError):
            detector.fit(1000 * wine)
    np.testing.assert_array_equal(detector.score_samples(wine), before[0])
    assert detector.offset_ == before[1]


def test_rows_of_no_weight_need_no_score():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1.0, 9.0, size=(60, 1)), size=(60, 3)).astype(float)
    counts[0, 0] = -1  # outside the support
    weight = np.r_[0, np.ones(59)]
    model = VAETransformer(2, likelihood="poisson", hidden_layer_sizes=(8,), max_iter=10)
    detector = VAEOutlierDetector(model, random_state=0).fit(counts, sample_weight=weight)
    without = VAEOutlierDetector(model, random_state=0).fit(counts[1:])
    assert detector.offset_ == pytest.approx(without.offset_, rel=1e-6)
