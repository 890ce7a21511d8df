import numpy as np
import pandas as pd
import pytest
from pictures import FRAME, vae
from scipy.stats import rankdata, spearmanr
from scipy.stats.contingency import association

from skvae.plots import AssociationsDisplay
from skvae.plots._associations import associations

RNG = np.random.default_rng(0)
KIND = RNG.integers(3, size=200)
TABLE = pd.DataFrame(
    {
        "number": KIND + RNG.normal(size=200),
        "other": np.exp(RNG.normal(size=200) - KIND),
        "flag": RNG.random(200) < 0.2 + 0.2 * KIND,
        "kind": pd.Categorical(np.array(["a", "b", "c"])[KIND]),
        "place": np.where(RNG.random(200) < 0.5, KIND, RNG.integers(4, size=200)).astype(str),
    }
)


def correlation_ratio(kind, x):
    ranks = pd.Series(rankdata(x))
    means = ranks.groupby(np.asarray(kind)).transform("mean")
    return np.sqrt(means.var() / ranks.var())


def test_measures_of_each_pair():
    found = associations(TABLE)
    np.testing.assert_allclose(np.diag(found), 1)
    np.testing.assert_array_equal(found, found.T)
    expected = spearmanr(TABLE["number"], TABLE["other"]).statistic
    assert expected < 0
    assert found.loc["number", "other"] == pytest.approx(expected)
    flag = spearmanr(TABLE["number"], TABLE["flag"]).statistic
    assert found.loc["number", "flag"] == pytest.approx(flag)
    ratio = correlation_ratio(TABLE["kind"], TABLE["other"])
    assert found.loc["other", "kind"] == pytest.approx(ratio)
    cramer = association(pd.crosstab(TABLE["kind"], TABLE["place"]).to_numpy(), method="cramer")
    assert found.loc["kind", "place"] == pytest.approx(cramer)


def test_pairs_with_a_missing_value_are_left_out():
    gappy = TABLE.copy()
    gappy.loc[::3, "number"] = np.nan
    gappy.loc[1::4, "kind"] = None
    complete = TABLE[gappy[["number", "kind"]].notna().all(axis=1)]
    found = associations(gappy).loc["number", "kind"]
    assert found == pytest.approx(associations(complete).loc["number", "kind"])


def test_a_constant_column_has_none():
    found = associations(TABLE.assign(number=1.0, kind="a"))
    assert found[["number", "kind"]].isna().all(axis=None)


def test_pairs_that_are_never_observed_together_have_none():
    even = np.arange(200) % 2 == 0
    gappy = TABLE.assign(
        number=TABLE["number"].where(even), place=TABLE["place"].where(~even), flag=None
    )
    found = associations(gappy)
    assert found["flag"].isna().all()
    assert np.isnan(found.loc["number", "place"])
    assert found.drop(columns="flag").notna().sum().to_list() == [3, 4, 4, 3]
    display = AssociationsDisplay(real=found, sampled=found).plot()
    display.figure_.canvas.draw()
    assert display.axes_[0].get_facecolor()[:3] == (0.8, 0.8, 0.8)


def test_durations_and_periods_are_ranked():
    days = RNG.permutation(200)
    table = pd.DataFrame(
        {
            "number": days,
            "duration": pd.to_timedelta(days**2, unit="h"),
            "period": pd.PeriodIndex.from_ordinals(-days, freq="M"),
        }
    )
    table.loc[:2, "duration"] = pd.NaT
    table.loc[2:4, "period"] = pd.NaT
    expected = [[1, 1, -1], [1, 1, -1], [-1, -1, 1]]
    np.testing.assert_allclose(associations(table), expected)
    np.testing.assert_allclose(associations(table.astype(object)), expected)


def test_categories_with_a_level_for_each_row():
    n = 50_000  # indicators of the levels as dense arrays have 20 GB each
    names = pd.Series(np.arange(n)).astype(str)
    found = associations(pd.DataFrame({"name": names, "other": names[::-1].to_numpy()}))
    np.testing.assert_allclose(found, 1)


def test_three_heat_maps():
    model = vae().fit(TABLE)
    display = AssociationsDisplay.from_estimator(model, TABLE, random_state=1, cmap="PuOr")
    sampled = associations(model.sample(200, random_state=1))
    pd.testing.assert_frame_equal(display.real, associations(TABLE))
    pd.testing.assert_frame_equal(display.sampled, sampled)
    for im, values in zip(
        display.ims_, (display.real, sampled, sampled - display.real), strict=True
    ):
        np.testing.assert_array_equal(im.get_array(), values)
        assert im.get_cmap().name == "PuOr"
        assert im.get_clim() == (-1, 1)
    labels = [label.get_text() for label in display.axes_[0].get_yticklabels()]
    assert labels == list(TABLE.columns)
    assert [panel.get_title() for panel in display.axes_] == ["real", "sampled", "sampled - real"]


def test_pipelines_and_features(pipeline):
    scaler, model = pipeline
    display = AssociationsDisplay.from_estimator(
        pipeline, FRAME, features=["d", "b"], random_state=1
    )
    rows = scaler.inverse_transform(model.sample(40, random_state=1))
    sampled = pd.DataFrame(rows, columns=FRAME.columns)[["d", "b"]]
    pd.testing.assert_frame_equal(display.sampled, associations(sampled))


def test_the_first_20_columns():
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 25))).add_prefix("c")
    display = AssociationsDisplay.from_estimator(vae(max_iter=1).fit(wide), wide, random_state=0)
    assert list(display.real.columns) == [f"c{place}" for place in range(20)]
