"""Values outside the support of a likelihood that "auto" chose."""

import warnings

import numpy as np
import pandas as pd
import pytest
from fits import QUICK
from sklearn.pipeline import make_pipeline

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer

RNG = np.random.default_rng(0)
N = 1500
Z = RNG.normal(size=N)
pytestmark = pytest.mark.filterwarnings("ignore:Column 'yes' holds 3")
TABLE = pd.DataFrame(
    {
        "visits": RNG.poisson(np.exp(0.5 + 0.5 * Z)).astype(float),  # a histogram of whole numbers
        "yes": (Z + RNG.normal(size=N) > 0).astype(float),  # Bernoulli
        "size": Z + 0.5 * RNG.normal(size=N),
    }
)
ODD = pd.DataFrame({"visits": [2.0, 2.4, 2.0], "yes": [1.0, 1.0, 3.0], "size": [0.5, 0.5, 0.5]})


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(2, **QUICK).fit(TABLE)


def test_unforeseen_values_score_low_and_count_as_the_nearest_value(vae):
    kinds = {name: type(one).__name__ for name, one in vae.likelihoods_.items()}
    assert kinds == {"visits": "Histogram", "yes": "Bernoulli", "size": "Gaussian"}
    with pytest.warns(UserWarning, match="'visits' holds 2.4") as seen:
        scores = vae.score_samples(ODD)
    assert any("'yes' holds 3" in str(one.message) for one in seen)
    half_a_row = np.log(0.5 / N)
    np.testing.assert_allclose(scores[1:], scores[0] + half_a_row, rtol=1e-6)
    with pytest.warns(UserWarning, match="count as the nearest value"):
        codes = vae.transform(ODD)
    np.testing.assert_allclose(codes[1:], np.repeat(codes[:1], 2, axis=0))
    with pytest.warns(UserWarning, match="'visits'"):
        cells = vae.score_cells(ODD)
    np.testing.assert_allclose(cells["visits"][1], cells["visits"][0] + half_a_row, rtol=1e-4)


def test_one_warning_names_a_column_whatever_its_rows(vae):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        vae.transform(pd.concat([ODD] * 100))
    assert len(seen) == 2


def test_unforeseen_values_are_kept_in_a_completed_table(vae):
    gappy = ODD.assign(size=np.nan)
    with pytest.warns(UserWarning, match="'visits'"):
        completed = vae.impute(gappy)
    assert completed["visits"].tolist() == [2.0, 2.4, 2.0]
    assert not completed["size"].isna().any()


def test_unforeseen_values_pass_an_imputer_before_a_detector():
    imputer = VAEImputer(VAETransformer(2, **QUICK), random_state=0)
    detector = VAEOutlierDetector(VAETransformer(2, **QUICK), random_state=0)
    pipeline = make_pipeline(imputer, detector).fit(TABLE)
    gappy = TABLE[:40].mask(RNG.random((40, 3)) < 0.3)
    with pytest.warns(UserWarning, match="'visits' holds"):
        labels = pipeline.predict(gappy)
    assert set(labels) <= {-1, 1}


def test_training_continues_with_unforeseen_values(vae):
    more = VAETransformer(2, **QUICK).partial_fit(TABLE)
    with pytest.warns(UserWarning, match="'visits' holds 2.4"):
        more.partial_fit(pd.concat([TABLE[:100], ODD]))
    assert np.isfinite(more.score(TABLE))


def test_a_given_value_is_refused(vae):
    with pytest.raises(ValueError, match=r"'visits' holds 2.5, unlike .* Correct the value"):
        vae.sample(given={"visits": 2.5})


def test_a_likelihood_that_the_user_named_is_strict():
    named = VAETransformer(2, likelihood={"visits": "histogram"}, **QUICK).fit(TABLE)
    with pytest.raises(ValueError, match="Column 'visits' is modelled by Histogram"):
        named.score_samples(ODD.assign(yes=1.0))


def test_a_date_is_named_as_a_date():
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(300) % 4 * 7, unit="D")
    table = pd.DataFrame({"week": days, "size": np.arange(300) % 4 + Z[:300]})
    vae = VAETransformer(1, likelihood={"size": "gaussian"}, **QUICK)
    vae.fit(table.assign(week=table["week"].where(np.arange(300) % 10 > 0)))
    with pytest.raises(ValueError, match=r"'week' holds 2024-01-09 00:00:00, unlike the training"):
        vae.sample(1, given={"week": pd.Timestamp("2024-01-09")})
