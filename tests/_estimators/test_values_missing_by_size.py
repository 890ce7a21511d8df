"""Imputation of values that are missing because of what they are."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from skvae import VAEImputer, VAETransformer, load

N = 1000
RNG = np.random.default_rng(0)
FACTORS = RNG.normal(size=(N, 2)) @ RNG.normal(size=(2, 6))
TABLE = FACTORS / FACTORS.std(axis=0) + 0.6 * RNG.normal(size=(N, 6))
TABLE = (TABLE - TABLE.mean(axis=0)) / TABLE.std(axis=0)
CHANCE = RNG.random(TABLE.shape)
# two columns are complete
BY_SIZE = (expit(2.5 * TABLE - 1) > CHANCE) & (np.arange(6) < 4)
AT_RANDOM = (CHANCE < 0.3) & (np.arange(6) < 4)
BY_ANOTHER = (expit(2.5 * TABLE[:, [5]] - 1) > CHANCE) & (np.arange(6) < 4)


def with_gaps(hidden):
    return np.where(hidden, np.nan, TABLE)


def imputer(**changes):
    """The default model, with other parameters."""
    found = VAEImputer(random_state=0)
    model = found._default(TABLE)
    return found.set_params(estimator=model.set_params(**changes))


def error(imputer, hidden):
    return np.square(imputer.transform(with_gaps(hidden)) - TABLE)[hidden].mean()


def own_weights(imputer):
    masking = imputer.estimator_.module_.self_masking
    return masking.weight.detach().view(-1)[masking.own_weights].numpy()


@pytest.fixture(scope="module")
def fitted():
    patterns = {"by size": BY_SIZE, "at random": AT_RANDOM, "by another": BY_ANOTHER}
    return {name: imputer().fit(with_gaps(hidden)) for name, hidden in patterns.items()}


def test_imputes_values_that_are_missing_by_their_size(fitted):
    found = fitted["by size"]
    at_random = imputer(self_masking=False).fit(with_gaps(BY_SIZE))
    assert error(found, BY_SIZE) < 0.6 * error(at_random, BY_SIZE)
    assert (own_weights(found) > 0.2).all()
    # the means are 0, those of observed values far below
    means = [model.transform(with_gaps(BY_SIZE))[:, :4].mean() for model in (found, at_random)]
    assert np.nanmean(with_gaps(BY_SIZE)[:, :4]) < -0.4
    assert abs(means[0]) < 0.6 * abs(means[1])


def test_draws_cover_values_that_are_missing_by_their_size(fitted):
    draws = np.array(fitted["by size"].impute(with_gaps(BY_SIZE), n_imputations=20))
    inside = (draws.min(axis=0) < TABLE) & (draws.max(axis=0) > TABLE)
    assert inside[BY_SIZE].mean() > 0.75


def test_values_missing_at_random_are_taken_as_such(fitted):
    for name, hidden in (("at random", AT_RANDOM), ("by another", BY_ANOTHER)):
        assert (np.abs(own_weights(fitted[name])) < 0.2).all()
        without = imputer(self_masking=False).fit(with_gaps(hidden))
        assert error(fitted[name], hidden) < 1.05 * error(without, hidden)
        if not fitted[name].estimator_.module_.self_masking.is_needed:
            found, expected = (one.transform(with_gaps(hidden)) for one in (fitted[name], without))
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_columns_that_are_missing_by_another_have_no_weights(fitted):
    masking = fitted["by another"].estimator_.module_.self_masking
    assert not masking.is_needed
    assert not masking.weight.any()
    assert not masking.bias.any()


def test_draws_have_no_limit_where_values_are_missing():
    x = 50 + 10 * TABLE[:, :1]
    hidden = expit(x - 55) > CHANCE[:, :1]
    others = TABLE[:, :1] + 0.3 * RNG.normal(size=(N, 3))
    table = np.hstack([np.where(hidden, np.nan, x), others])
    largest, draws, bounds = np.nanmax(table[:, 0]), {}, {}
    for name, changes in {
        "default": {},
        "at random": {"self_masking": False},
        "named": {"bounds": {0: (None, 70)}},
    }.items():
        model = imputer(n_components=2, max_iter=20, **changes).fit(table)
        draws[name] = np.array(model.impute(table, n_imputations=5))[:, :, 0]
        bounds[name] = model.estimator_.bounds_[0]
    # observed values end sooner than normal ones would
    assert bounds["at random"][1] == largest == draws["at random"].max()
    assert bounds["default"][1] == np.inf
    assert bounds["default"][0] == bounds["at random"][0]
    assert draws["default"].max() > 75
    assert bounds["named"][1] == 70
    assert largest < draws["named"].max() <= 70


def test_only_imputation_takes_missing_values_as_evidence(fitted):
    model = fitted["by size"].estimator_
    rows = with_gaps(BY_SIZE)[:50]
    changed = pickle.loads(pickle.dumps(model))
    changed.module_.self_masking.weight.data.zero_()
    for of in (
        lambda m: m.score_samples(rows),
        lambda m: m.predict_column(rows[:, :], 0),
        lambda m: m.sample(2, given=rows[:5], random_state=0),
        lambda m: m.transform(rows),
    ):
        assert np.array_equal(of(model), of(changed))
    assert not np.allclose(model.impute(rows), changed.impute(rows), atol=0.1)


def test_rows_are_imputed_the_same_alone(fitted):
    rows = with_gaps(BY_SIZE)[:60]
    together = fitted["by size"].transform(rows)
    order = np.random.default_rng(1).permutation(60)
    np.testing.assert_allclose(fitted["by size"].transform(rows[order]), together[order], atol=1e-9)
    np.testing.assert_allclose(fitted["by size"].transform(rows[:1]), together[:1], atol=1e-9)


def test_files_hold_what_was_learned(fitted, tmp_path):
    model = fitted["by size"].estimator_
    model.save(tmp_path / "model")
    rows = with_gaps(BY_SIZE)[:20]
    for copy in (load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(copy.impute(rows), model.impute(rows))


@pytest.mark.parametrize("levels", [["u", "v", "w"], [0.0, 1.0]], ids=["category", "bit"])
def test_levels_that_are_missing_because_of_what_they_are(levels):
    rng = np.random.default_rng(0)
    kind = rng.integers(0, len(levels), N)
    x = kind[:, None] + 0.7 * rng.normal(size=(N, 4))
    frame = pd.DataFrame(x, columns=list("abcd")).assign(kind=np.array(levels)[kind])
    hidden = rng.random(N) < np.where(kind == kind.max(), 0.7, 0.1)
    gaps = frame.assign(kind=frame["kind"].mask(hidden))
    shares = {}
    for self_masking in (False, True):
        found = imputer(self_masking=self_masking, n_components=2).fit(gaps)
        filled = found.impute(gaps, n_imputations=5, random_state=0)
        shares[self_masking] = np.mean(
            [(one["kind"][hidden] == levels[-1]).mean() for one in filled]
        )
    truth = (kind[hidden] == kind.max()).mean()
    assert abs(truth - shares[True]) < 0.7 * (truth - shares[False])


def test_a_column_with_hardly_any_other_value_masks_nothing():
    rare = np.zeros(N)
    rare[:2] = 50.0
    gaps = np.column_stack([with_gaps(AT_RANDOM), np.where(CHANCE[:, 5] < 0.3, np.nan, rare)])
    gaps[:2, -1] = 50.0
    filled = [imputer(self_masking=on).fit_transform(gaps)[2:, -1] for on in (True, False)]
    assert filled[0].mean() < filled[1].mean() + 0.1


def test_tables_without_missing_values():
    model = VAETransformer(2, self_masking=True, max_iter=2, random_state=0).fit(TABLE)
    same = VAETransformer(2, max_iter=2, random_state=0).fit(TABLE)
    assert model.module_.self_masking is None
    assert np.array_equal(model.score_samples(TABLE), same.score_samples(TABLE))
    assert np.array_equal(model.impute(with_gaps(BY_SIZE)), same.impute(with_gaps(BY_SIZE)))


def test_likelihoods_without_a_model_of_missing_values_are_left_out():
    settings = {"likelihood": {0: "student_t"}, "max_iter": 5, "random_state": 0}
    model = VAETransformer(2, self_masking=True, **settings).fit(with_gaps(BY_SIZE))
    masking, order = model.module_.self_masking, list(model._fitted.columns.order)
    assert sorted(order[i] for i in masking.columns.tolist()) == [1, 2, 3]
    assert np.isfinite(model.impute(with_gaps(BY_SIZE))).all()


def test_training_continues(fitted):
    model = VAETransformer(2, self_masking=True, max_iter=3, random_state=0)
    model.partial_fit(with_gaps(BY_SIZE)).partial_fit(with_gaps(BY_SIZE))
    assert model.module_.self_masking.weight.detach().abs().max() > 0
    model.partial_fit(TABLE)  # a table without missing values
    assert np.isfinite(model.impute(with_gaps(BY_SIZE))).all()
