"""Missing values: codes, scores, imputation and conditional samples."""

import pickle

import numpy as np
import pandas as pd
import pytest
from fits import QUICK
from scipy.sparse import csc_array, csr_array, csr_matrix
from scipy.stats import multivariate_normal

from skvae import Parts, VAETransformer
from skvae.priors import Mixture


def linear_normal(vae):
    """Mean and covariance of the rows of a model without hidden layers."""
    b = vae.inverse_transform(np.zeros((1, vae.n_components_)))[0]
    W = (vae.inverse_transform(np.diag(vae.scale_)) - b).T
    group = vae.module_.observations[0]
    sigma = group.likelihood.sigma(group.tensors).detach().cpu().numpy()
    return b, W @ W.T + np.diag((sigma * vae._fitted.columns.groups[0].constants["spread"]) ** 2)


@pytest.fixture(scope="module")
def gappy():
    """A linear model, rows with gaps, and what is exact of each: log p, mean and sd of its gaps."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1020, 2)) @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(1020, 6))
    gaps = np.where(rng.random(X.shape) < 0.4, np.nan, X)
    gaps[:, 0] = X[:, 0]
    vae = VAETransformer(2, hidden_layer_sizes=(), random_state=0, max_iter=60).fit(gaps[20:])
    mean, covariance = linear_normal(vae)
    exact = []
    for row in gaps[:20]:
        there, gone = ~np.isnan(row), np.isnan(row)
        seen = multivariate_normal(mean[there], covariance[np.ix_(there, there)])
        slope = np.linalg.solve(seen.cov, covariance[np.ix_(there, gone)]).T
        rest = covariance[np.ix_(gone, gone)] - slope @ covariance[np.ix_(there, gone)]
        center = mean[gone] + slope @ (row[there] - mean[there])
        exact.append((seen.logpdf(row[there]), gone, center, rest))
    return vae, gaps[:20], exact


def test_score_is_the_marginal_density_of_the_observed_values(gappy):
    vae, rows, exact = gappy
    np.testing.assert_allclose(vae.score_samples(rows), [log_p for log_p, *_ in exact], atol=0.05)


def test_imputed_cells_are_the_conditional_means(gappy):
    vae, rows, exact = gappy
    for row, filled, (_, gone, center, rest) in zip(rows, vae.impute(rows), exact, strict=True):
        np.testing.assert_array_equal(filled[~gone], row[~gone])
        assert (np.abs(filled[gone] - center) < 0.05 * np.sqrt(np.diag(rest))).all()


def test_draws_given_some_cells_follow_the_conditional(gappy):
    vae, rows, exact = gappy
    draws = vae.sample(4000, given=rows, random_state=0).reshape(20, 4000, 6)
    completed = np.stack(vae.impute(rows, n_imputations=4000, random_state=1), axis=1)
    for drawn in (draws, completed):
        for row, table, (_, gone, center, rest) in zip(rows, drawn, exact, strict=True):
            assert (table[:, ~gone] == row[~gone]).all()
            sd = np.sqrt(np.diag(rest))
            assert (np.abs(table[:, gone].mean(axis=0) - center) < 0.1 * sd).all()
            np.testing.assert_allclose(
                np.cov(table[:, gone].T).reshape(rest.shape), rest, atol=0.15 * sd.max() ** 2
            )


def test_score_of_a_cell_is_that_of_the_row_minus_that_of_the_other_cells(gappy):
    vae, rows, _ = gappy
    cells = vae.score_cells(rows)
    np.testing.assert_array_equal(np.isnan(cells), np.isnan(rows))
    without = rows.copy()
    without[:, 0] = np.nan
    # per spread of the column
    unit = np.log(vae._fitted.columns.groups[0].constants["spread"][0])
    expected = vae.score_samples(rows) - vae.score_samples(without) + unit
    np.testing.assert_allclose(cells[:, 0], expected, rtol=1e-12)
    odd = np.nan_to_num(rows)
    odd[:, 3] += 20.0
    assert (vae.score_cells(odd).argmin(axis=1) == 3).all()


def test_values_beyond_training_are_no_evidence_for_the_others(gappy):
    vae, rows, _ = gappy
    rows = np.nan_to_num(rows)
    far = rows.copy()
    far[:, [1, 2]] = -999.0
    cells, without = vae.score_cells(far), rows.copy()
    without[:, [1, 2]] = np.nan
    right = np.isfinite(without).all(axis=0)
    expected = vae.score_cells(without)[:, right]
    np.testing.assert_allclose(cells[:, right], expected, rtol=1e-12)
    assert (cells[:, [1, 2]].max(axis=1) < cells[:, right].min(axis=1)).all()
    # each is scored without the other
    without[:, 1] = -999.0
    np.testing.assert_allclose(cells[:, 1], vae.score_cells(without)[:, 1], rtol=1e-12)


@pytest.mark.parametrize("fitted_in", [np.float32, np.float64])
def test_the_ends_of_training_are_evidence_in_single_precision(fitted_in):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 1)) + 0.1 * rng.normal(size=(300, 3))
    vae = VAETransformer(1, **QUICK).fit(X.astype(fitted_in))
    ends = X[np.r_[X.argmin(axis=0), X.argmax(axis=0)]]
    inside = ends + 1e-5 * np.sign(ends.mean(axis=0) - ends)
    expected = vae.score_cells(inside)
    for dtype in (np.float32, np.float64):
        np.testing.assert_allclose(vae.score_cells(ends.astype(dtype)), expected, atol=0.01)


def test_scores_of_rows_with_missing_values_do_not_depend_on_other_rows(wine):
    rng = np.random.default_rng(0)
    rows = np.where(rng.random((12, wine.shape[1])) < 0.3, np.nan, wine[:12])
    vae = VAETransformer(12, **QUICK).fit(wine)  # most of whose components tell nothing
    together = vae.score_samples(rows, n_importance=64)
    alone = [vae.score_samples(row[None], n_importance=64)[0] for row in rows]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_few_draws_find_the_codes_of_unusual_rows():
    """Rows along a curve, one of whose cells is another row's."""
    rng = np.random.default_rng(0)

    def rows(n):
        t = rng.uniform(-3, 3, n)
        noise = rng.normal(size=(3, n))
        return pd.DataFrame(
            {
                "x": t + 0.1 * noise[0],
                "y": np.sin(2 * t) + 0.1 * noise[1],
                "z": t**2 + 0.3 * noise[2],
                "part": np.where(t < -1, "low", np.where(t < 1, "mid", "high")),
            }
        )

    vae = VAETransformer(3, hidden_layer_sizes=(32, 32), max_iter=40, random_state=0).fit(rows(800))
    odd = rows(40).assign(x=rows(40)["x"])
    many = vae.score_samples(odd, n_importance=2048)
    # a second mode is missed in one of a hundred such rows, by 0.5 to 8 nats
    assert np.sort(np.abs(vae.score_samples(odd) - many))[-2] < 0.5
    # of a few models, one row in 40 is missed by 32 draws
    few = np.abs(vae.score_samples(odd, n_importance=32) - many)
    assert np.sort(few)[-2] < 1.0
    # the log of a probability, but for the noise of two scores
    assert (vae.score_cells(odd, standard_error=0.03)["part"] < 0.3).all()


@pytest.mark.parametrize("table", [np.asarray, csr_matrix])
def test_scores_of_cells_do_not_depend_on_the_size_of_blocks(gappy, table, monkeypatch):
    vae, rows, _ = gappy
    rows = table(np.nan_to_num(rows[:3]))
    expected = vae.score_cells(rows, n_importance=16)
    for lot in (1, 4 * rows.shape[1]):
        monkeypatch.setattr("skvae._fitted.LEFT_OUT_AT_ONCE", lot)
        np.testing.assert_allclose(vae.score_cells(rows, n_importance=16), expected, atol=1e-6)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_scores_of_the_cells_of_a_frame_are_a_frame(wine, library):
    frame = pd.DataFrame(wine[:, :3], columns=["a", "b", "n"]).astype({"n": int})
    frame["kind"] = np.where(wine[:, 0] > 13, "strong", "light")
    frame.index += 100
    array = frame.assign(kind=frame["kind"] == "strong").to_numpy(float)
    vae = VAETransformer(2, **QUICK, likelihood={3: "categorical"}).fit(array)
    expected, rows = vae.score_cells(array[5:8]), frame.iloc[5:8]
    if library == "polars":
        frame, rows = (pytest.importorskip("polars").from_pandas(one) for one in (frame, rows))
    cells = VAETransformer(2, **QUICK).fit(frame).score_cells(rows)
    assert type(cells) is type(frame)
    assert list(cells.columns) == ["a", "b", "n", "kind"]
    np.testing.assert_allclose(cells.to_numpy(), expected, rtol=1e-6)
    if library == "pandas":
        assert cells.index.tolist() == [105, 106, 107]


def test_one_hidden_layer_may_be_an_integer(wine):
    settings = QUICK | {"warm_start": True}
    vae = VAETransformer(2, **settings | {"hidden_layer_sizes": 16}).fit(wine)
    other = VAETransformer(2, **settings).fit(wine)
    assert vae.loss_curve_ == other.loss_curve_
    vae.set_params(hidden_layer_sizes=(16,), max_iter=4).fit(wine)  # the same architecture
    assert vae.n_iter_ == 4


def test_a_row_without_observed_values_has_likelihood_one(gappy):
    vae, *_ = gappy
    empty = np.full((1, 6), np.nan)
    assert vae.score_samples(empty)[0] == pytest.approx(0.0, abs=0.02)
    assert np.isfinite(vae.impute(empty)).all()


def test_rows_may_have_gaps_where_training_had_none(wine, fitted):
    rows = wine[:5].copy()
    rows[:, 3] = np.nan
    assert np.isfinite(fitted.transform(rows)).all()
    assert np.isfinite(fitted.reconstruct(rows)).all()
    assert (fitted.score_samples(rows) != fitted.score_samples(wine[:5])).all()


def test_draws_given_by_name_keep_to_what_is_given(wine):
    frame = pd.DataFrame(wine[:, :4], columns=list("abcd"))
    frame["kind"] = pd.Categorical(np.where(wine[:, 0] > 13, "strong", "light"))
    vae = VAETransformer(2, random_state=0, max_iter=30).fit(frame)
    strong, light = (
        vae.sample(300, given={"kind": kind}, random_state=0) for kind in ("strong", "light")
    )
    assert set(strong["kind"]) == {"strong"}
    assert strong["a"].mean() > light["a"].mean() + 0.5
    assert (strong.dtypes == frame.dtypes).all()
    row = pd.Series({"a": np.nan, "kind": "strong"})
    pd.testing.assert_frame_equal(vae.sample(300, given=row, random_state=0), strong)
    with pytest.raises(ValueError, match="'given' holds several values for column 'a'"):
        vae.sample(given=pd.Series([13.0, 14.0], index=["a", "a"]))
    with pytest.raises(ValueError, match="'given' names 'age', but the columns are"):
        vae.sample(given={"age": 3})
    with pytest.raises(ValueError, match="Column 'kind' holds 'sweet', which training has not"):
        vae.sample(given={"kind": "sweet"})


@pytest.mark.filterwarnings("ignore:'given' holds 0")
def test_given_rows_may_be_sparse(wine, fitted):
    given = np.zeros((2, 13))
    given[:, 1] = [1.7, 2.4]
    dense = fitted.sample(3, given=given, random_state=0)
    sparse = fitted.sample(3, given=csr_array(given), random_state=0)
    np.testing.assert_array_equal(sparse, dense)


def test_the_prior_that_is_fitted_is_used(wine):
    plain, mixed = (
        VAETransformer(1, random_state=0, max_iter=30, prior=prior).fit(wine)
        for prior in ("normal", Mixture(learned=False))
    )
    np.testing.assert_array_equal(plain.transform(wine), mixed.transform(wine))
    assert mixed.score(wine) > plain.score(wine)
    again = pickle.loads(pickle.dumps(mixed))
    np.testing.assert_array_equal(again.score_samples(wine), mixed.score_samples(wine))
    np.testing.assert_array_equal(again.sample(3, random_state=0), mixed.sample(3, random_state=0))


def test_gaps_of_near_copies_are_scored_exactly():
    # the encoder of complete rows puts such rows where p(x, z) is nowhere near
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1020, 2)) @ rng.normal(size=(2, 6)) + 0.03 * rng.normal(size=(1020, 6))
    vae = VAETransformer(2, hidden_layer_sizes=(), random_state=0, max_iter=60).fit(X[20:])
    mean, covariance = linear_normal(vae)
    there = [0, 1, 4]
    rows = np.full((20, 6), np.nan)
    rows[:, there] = X[:20, there]
    expected = multivariate_normal(mean[there], covariance[np.ix_(there, there)]).logpdf(
        X[:20, there]
    )
    np.testing.assert_allclose(vae.score_samples(rows), expected, atol=0.05)


def test_draws_that_all_come_from_one_code_are_reported(fitted, wine, monkeypatch):
    rows = wine[:5].copy()
    rows[:3, 0] = np.nan
    fitted.impute(rows, n_imputations=20, random_state=0)
    monkeypatch.setattr("skvae._fitted.FEWEST_CODES", np.inf)
    with pytest.warns(UserWarning, match="For 3 of 3 rows .* from a single code"):
        fitted.impute(rows, n_imputations=20, random_state=0)
    fitted.impute(rows, n_imputations=1, random_state=0)


@pytest.mark.parametrize("how", [{}, {"n_imputations": 2}])
def test_a_row_that_nothing_explains_is_not_imputed(fitted, wine, how):
    rows = wine[:3].copy()
    rows[1, 2], rows[1, 4] = 1e200, np.nan
    with pytest.raises(ValueError, match=r"likelihood of row 1 is 0 .* column 2 holds a value far"):
        fitted.impute(rows, **how)


def test_a_value_that_training_has_not_seen_has_no_score():
    X = np.column_stack([np.arange(90) % 3, np.arange(90) / 7])
    vae = VAETransformer(1, **QUICK, likelihood={0: "categorical"}).fit(X)
    with pytest.warns(UserWarning, match="training has not seen") as caught:
        cells = vae.score_cells([[7.0, 0.1], [1.0, 0.1]])
    assert len(caught) == 1
    assert np.isnan(cells).tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize("method", ["transform", "score_samples", "score_cells", "impute"])
@pytest.mark.parametrize("store", [np.asarray, csc_array, lambda X: Parts([X[:7], X[7:]])],
                         ids=["array", "sparse", "parts"])  # fmt: skip
def test_a_level_that_training_has_not_seen_counts_as_missing(store, method):
    X = np.column_stack([np.arange(90) % 3, np.arange(90) / 7])
    vae = VAETransformer(1, **QUICK, likelihood={0: "categorical"}).fit(X)
    X[5, 0] = 7.0
    with pytest.warns(UserWarning, match="not seen, which count as missing: 7"):
        found = getattr(vae, method)(store(X))
    X[5, 0] = np.nan
    np.testing.assert_array_equal(found, getattr(vae, method)(X))


def test_many_draws_of_one_row():
    X = np.random.default_rng(0).normal(size=(90, 1)) * [1.0, -1.0]
    vae = VAETransformer(1, **QUICK).fit(X)
    drawn = vae.sample(5000, given={0: 0.5}, random_state=0)
    assert drawn.shape == (5000, 2)
    assert (drawn[:, 0] == 0.5).all()


def test_many_levels_do_not_drown_the_numbers():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(1500, 3))
    numbers = codes @ rng.normal(size=(3, 10)) + 0.5 * rng.normal(size=(1500, 10))
    ranks = (codes + 0.2 * rng.normal(size=codes.shape)).argsort(axis=0).argsort(axis=0)
    frame = pd.DataFrame(numbers).add_prefix("number ")
    both = frame.assign(**{f"town {i}": [f"{r // 38}" for r in ranks[:, i]] for i in range(3)})
    train, test = slice(0, 1200), slice(1200, None)
    alone, together = (VAETransformer(3, random_state=0).fit(t[train]) for t in (frame, both))

    def unexplained(vae, table):
        back = vae.reconstruct(table)[frame.columns].to_numpy()
        return np.square(back - numbers[test]).mean() / numbers[test].var()

    assert unexplained(together, both[test]) < 1.6 * unexplained(alone, frame[test])
    # 40 levels of which the numbers tell a few
    towns = together.score_cells(both[test]).iloc[:, 10:]
    assert (towns.mean() > np.log(1 / 40) + 0.7).all()


def test_correct_prices_are_no_reason_to_overlook_a_wrong_category():
    """Some fees and lots are 0, and the other fees have cents."""
    rng = np.random.default_rng(0)
    own, area = rng.random(2500) < 0.45, rng.lognormal(4.5, 0.4, 2500)
    fee, lot = (area * np.exp(0.2 * noise) for noise in rng.normal(size=(2, 2500)))
    table = pd.DataFrame(
        {
            "area": np.round(area, 1),
            "fee": np.where(own, 0.0, np.round(1.8 * fee, 2)),
            "lot": np.where(own, np.round(3 * lot), 0.0),
            "type": np.where(own, "house", "flat"),
        }
    )
    vae = VAETransformer(3, random_state=0).fit(table[:2400])
    wrong = table[2400:].assign(type=np.where(own[2400:], "flat", "house"))
    assert (vae.score_cells(wrong).idxmin(axis=1) == "type").mean() > 0.9
