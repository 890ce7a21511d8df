import numpy as np
import pandas as pd
import polars as pl
import pytest
from pictures import FRAME, X, vae
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae.plots import MarginalsDisplay
from skvae.plots._marginals import _edges

LEVELS = [f"a rather long name of level {place}" for place in range(12)]
RNG = np.random.default_rng(0)
MIXED = pd.DataFrame(
    {
        "number": RNG.normal(size=60),
        "count": RNG.poisson(1, size=60),
        "flag": RNG.random(60) < 0.3,
        "kind": pd.Categorical(RNG.choice(["a", "b", None], 60)),
        "place": RNG.choice(LEVELS, 60, p=np.arange(12, 0, -1) / 78),
        "day": pd.date_range("2020-01-01", periods=60),
    }
)


def bars_of(panel):
    """Labels, and the lengths of the bars of real and sampled rows."""
    labels = [label.get_text() for label in panel.get_yticklabels()]
    return labels, *([bar.get_width() for bar in bars] for bars in panel.containers)


def test_real_and_sampled_rows_of_a_mixed_table():
    model = vae().fit(MIXED)
    display = MarginalsDisplay.from_estimator(model, MIXED, n_samples=50, random_state=1)
    pd.testing.assert_frame_equal(display.real, MIXED)
    pd.testing.assert_frame_equal(display.sampled, model.sample(50, random_state=1))
    display.figure_.canvas.draw()
    assert [panel.get_title() for panel in display.axes_] == list(MIXED.columns)

    labels, real, sampled = bars_of(display.axes_[2])
    assert sorted(labels) == ["False", "True"]
    assert real[labels.index("True")] == pytest.approx(MIXED["flag"].mean())
    assert sampled[labels.index("True")] == pytest.approx(display.sampled["flag"].mean())

    labels, real, _ = bars_of(display.axes_[3])  # missing values are left out
    shares = MIXED["kind"].value_counts(normalize=True)
    assert dict(zip(labels, real, strict=True)) == pytest.approx(shares.to_dict())

    labels, real, sampled = bars_of(display.axes_[4])
    assert len(labels) == 9
    assert labels[-1] == f"{MIXED['place'].nunique() - 8} others"
    assert max(map(len, labels)) <= 10
    assert sum(real) == pytest.approx(1)
    assert sum(sampled) == pytest.approx(1)

    dates = [label.get_text() for label in display.axes_[5].get_xticklabels()]
    assert "Feb" in dates


def test_few_numbers_have_a_bar_each():
    real, sampled = pd.DataFrame({"x": [1, 1, 2.5, 4]}), pd.DataFrame({"x": [1, 3.0]})
    (panel,) = MarginalsDisplay(real=real, sampled=sampled).plot(color="green").axes_
    assert bars_of(panel) == (["1", "2.5", "3", "4"], [0.5, 0.25, 0, 0.25], [0.5, 0, 0.5, 0])


def test_categories_with_an_order_keep_it():
    order = ["lo", "mid", "hi"]
    sizes = pd.DataFrame({"size": pd.Categorical(["hi", "hi", "lo", "mid"], order, ordered=True)})
    (panel,) = MarginalsDisplay(real=sizes, sampled=sizes).plot().axes_
    assert bars_of(panel) == (order, *2 * [[0.25, 0.25, 0.5]])
    fewer = pd.DataFrame({"size": pd.Categorical(["hi", "lo"], ["lo", "hi"], ordered=True)})
    (panel,) = MarginalsDisplay(real=fewer, sampled=sizes).plot().axes_
    assert bars_of(panel)[0] == ["lo", "hi", "mid"]


def test_few_dates_have_a_bar_each():
    days = pd.DataFrame({"day": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-02"])})
    (panel,) = MarginalsDisplay(real=days, sampled=days).plot().axes_
    assert bars_of(panel) == (["2020-01-02", "2020-01-01"], *2 * [pytest.approx([2 / 3, 1 / 3])])


def test_durations_are_numbers_of_days():
    few = pd.DataFrame({"age": pd.to_timedelta(["12h", "2D", "2D", None])})
    (panel,) = MarginalsDisplay(real=few, sampled=few).plot().axes_
    assert bars_of(panel) == (["0.5", "2"], *2 * [pytest.approx([1 / 3, 2 / 3])])
    many = pd.DataFrame({"age": pd.to_timedelta(np.arange(30), unit="D")})
    (panel,) = MarginalsDisplay(real=many, sampled=many).plot().axes_
    assert panel.patches[0].get_data().edges[0] == -0.5
    assert panel.get_xlabel() == "days"


def test_periods_are_in_order():
    few = pd.DataFrame({"month": pd.PeriodIndex(["2020-01", "2020-02", "2020-02"], freq="M")})
    (panel,) = MarginalsDisplay(real=few, sampled=few).plot().axes_
    assert bars_of(panel)[0] == ["2020-02", "2020-01"]
    many = pd.DataFrame({"month": pd.period_range("2020-01", periods=30, freq="M")})
    display = MarginalsDisplay(real=many, sampled=many).plot()
    display.figure_.canvas.draw()
    (panel,) = display.axes_
    assert panel.patches[0].get_data().edges[0] == many["month"][0].ordinal - 0.5
    labels = [label.get_text() for label in panel.get_xticklabels()]
    assert any(label.startswith(("2020-", "2021-")) for label in labels)


@pytest.mark.parametrize("missing", [np.nan, None, pd.NaT], ids=str)
def test_a_column_that_is_all_missing_has_an_empty_panel(missing):
    real = pd.DataFrame({"x": [missing] * 20, "y": np.arange(20.0)})
    sampled = pd.DataFrame({"x": ["a", "b"] * 10, "y": [np.nan] * 20})
    display = MarginalsDisplay(real=real, sampled=sampled).plot()
    display.figure_.canvas.draw()
    empty, panel = display.axes_
    assert empty.get_title() == "x\nall missing"
    assert not empty.has_data()
    assert not panel.patches[1].get_data().values.any()


def test_histograms_are_densities_on_the_same_bins(model):
    display = MarginalsDisplay.from_estimator(model, X, random_state=0, linewidth=3)
    for place, panel in enumerate(display.axes_):
        stairs = [patch.get_data() for patch in panel.patches]
        np.testing.assert_array_equal(stairs[0].edges, stairs[1].edges)
        for table, data in zip((display.real, display.sampled), stairs, strict=True):
            assert np.sum(data.values * np.diff(data.edges)) == pytest.approx(1)
            counts = np.histogram(table.iloc[:, place], data.edges)[0]
            np.testing.assert_allclose(data.values * np.diff(data.edges), counts / len(table))
        assert panel.patches[1].get_linewidth() == 3


@pytest.mark.parametrize("step", [1, 0.1, 0.25])
def test_bins_hold_equally_many_values_of_a_grid(step):
    values = 3 + step * np.arange(100)
    counts = np.histogram(values, _edges(values, 1000))[0]
    assert counts.sum() == 100
    assert set(counts[:-1]) == {counts[0]}


def test_bins_hold_all_values():
    values = np.sort(np.random.default_rng(0).normal(size=500))
    assert np.histogram(values, _edges(values, 500))[0].sum() == 500


@pytest.mark.parametrize(
    "container", [np.asarray, csr_array, lambda x: pl.DataFrame(x, [f"x{i}" for i in range(6)])]
)
def test_tables_of_other_kinds(container):
    table = container(X)
    display = MarginalsDisplay.from_estimator(vae().fit(table), table, random_state=0)
    np.testing.assert_array_equal(display.real, X)
    assert list(display.sampled.columns) == [f"x{place}" for place in range(6)]


def test_a_pipeline_inverts_its_steps():
    scaler, model = pipeline = make_pipeline(StandardScaler(), vae()).fit(FRAME)
    display = MarginalsDisplay.from_estimator(pipeline, FRAME, features=["c", 0], random_state=1)
    assert list(display.real.columns) == ["c", "a"]
    expected = scaler.inverse_transform(model.sample(40, random_state=1))
    np.testing.assert_allclose(display.sampled, expected[:, [2, 0]])


def test_the_first_16_columns():
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 20))).add_prefix("c")
    display = MarginalsDisplay.from_estimator(vae(max_iter=1).fit(wide), wide, random_state=0)
    assert list(display.real.columns) == [f"c{place}" for place in range(16)]
