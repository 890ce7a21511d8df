import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from pictures import FRAME, X, vae
from scipy.sparse import csr_array

from skvae.plots import LatentSpaceDisplay

CODES = np.random.default_rng(0).normal(size=(40, 2))
PLACES = np.arange(40)


def labels_of(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def test_components_of_largest_divergence():
    fitted = vae(n_components=3).fit(X)
    fitted._fitted.kl_divergence = np.array([1.0, 0.0, 2.0])
    display = LatentSpaceDisplay.from_estimator(fitted, X)
    assert display.components == (0, 2)
    np.testing.assert_array_equal(display.codes, fitted.transform(X)[:, [0, 2]])


@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_without_a_target(container, model):
    display = LatentSpaceDisplay.from_estimator(model, container(X), components=(1, 0), s=7)
    np.testing.assert_array_equal(display.scatter_.get_offsets(), model.transform(X)[:, ::-1])
    assert display.scatter_.get_sizes() == [7]
    assert display.legend_ is None
    assert display.colorbar_ is None
    assert display.ax_.get_xlabel() == "component 1"
    assert display.ax_.get_ylabel() == "component 0"


def test_ellipses_of_the_standard_deviations(pipeline):
    scaler, model = pipeline
    plain = LatentSpaceDisplay.from_estimator(pipeline, FRAME)
    assert plain.std is None
    assert plain.ellipses_ is None
    display = LatentSpaceDisplay.from_estimator(
        pipeline, FRAME, PLACES % 3, components=(1, 0), with_std=True
    )
    mean, std = model.latent_distribution(scaler.transform(FRAME))
    np.testing.assert_array_equal(display.codes, mean[:, ::-1])
    np.testing.assert_array_equal(display.std, std[:, ::-1])
    display.figure_.canvas.draw()
    np.testing.assert_allclose(display.ellipses_.get_widths(), 2 * std[:, 1])
    np.testing.assert_allclose(display.ellipses_.get_heights(), 2 * std[:, 0])
    np.testing.assert_array_equal(display.ellipses_.get_offsets(), display.codes)
    colors = display.ellipses_.get_facecolors()[:, :3]
    np.testing.assert_array_equal(colors, display.scatter_.get_facecolors()[:, :3])
    low, high = display.ax_.get_xlim()
    assert low <= np.min(mean - std, axis=0)[1]
    assert high >= np.max(mean + std, axis=0)[1]


def test_ellipses_without_a_target_have_the_colour_of_the_points():
    display = LatentSpaceDisplay(codes=CODES, std=np.ones((40, 2))).plot(color="green")
    np.testing.assert_allclose(display.ellipses_.get_facecolors()[0, :3], [0, 128 / 255, 0])


@pytest.mark.parametrize("shape", [(4, 1), (1, 4), (1, 1), (1, 0)])
def test_a_new_figure_has_the_shape_of_the_codes(shape):
    display = LatentSpaceDisplay(codes=CODES * shape).plot()
    display.figure_.canvas.draw()
    box = display.ax_.get_window_extent()
    drawn = np.ptp(CODES * shape, axis=0)
    wanted = np.clip(drawn[1] / drawn[0], 0.5, 2)
    assert box.height / box.width == pytest.approx(wanted, rel=0.15)


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (PLACES % 3, ["0", "1", "2"]),
        (PLACES % 3 / 1.0, ["0", "1", "2"]),
        ((PLACES % 2).tolist(), ["0", "1"]),
        (np.where(PLACES < 7, "yes", "no"), ["no", "yes"]),
        (pd.Series(PLACES % 2 == 0, name="even", index=PLACES + 5), ["False", "True"]),
        (np.array([f"{place:02}" for place in PLACES % 12]), [f"{i:02}" for i in range(12)]),
        (pl.Series("kind", ["a", "b"] * 20), ["a", "b"]),
        (pl.Series("kind", ["a", "b"] * 20, dtype=pl.Categorical), ["a", "b"]),
    ],
    ids=["integers", "floats", "list", "strings", "booleans", "many", "polars", "polars levels"],
)
def test_classes(y, labels):
    display = LatentSpaceDisplay(codes=CODES, y=y).plot()
    assert labels_of(display) == labels
    assert display.legend_.get_title().get_text() == getattr(y, "name", "")
    assert display.colorbar_ is None
    display.figure_.canvas.draw()
    colors = display.scatter_.get_facecolors()
    assert len(np.unique(colors, axis=0)) == len(labels)
    swatches = [handle.get_color() for handle in display.legend_.legend_handles]
    for place, value in enumerate(y):  # the colours of the legend are those of the points
        name = str(int(value)) if isinstance(value, float) else str(value)
        np.testing.assert_allclose(colors[place, :3], swatches[labels.index(name)][:3])


@pytest.mark.parametrize(
    "y",
    [
        ["a", None, "b", "a"],
        np.array(["a", np.nan, "b", "a"], dtype=object),
        pd.Series([1, pd.NA, 2, 1], dtype="Int64"),
        np.array([1.0, np.nan, 2.0, 1.0]),
        [True, None, False, True],
        pd.Categorical(["low", None, "high", "low"], ["low", "mid", "high"], ordered=True),
    ],
    ids=["list", "objects", "nullable", "floats", "booleans", "categories"],
)
def test_missing_values_are_the_last_class(y):
    labels = labels_of(LatentSpaceDisplay(codes=CODES[:4], y=y).plot())
    assert len(labels) == 3
    assert labels[-1] == "missing"
    assert "mid" not in labels
    if "low" in labels:
        assert labels == ["low", "high", "missing"]


@pytest.mark.parametrize(("n", "n_columns"), [(15, 1), (40, 3), (100, 7), (101, None)])
def test_legend_of_many_classes(n, n_columns):
    codes = np.random.default_rng(0).normal(size=(n, 2))
    display = LatentSpaceDisplay(codes=codes, y=[f"id {i}" for i in range(n)]).plot()
    assert display.colorbar_ is None
    assert (None if display.legend_ is None else display.legend_._ncols) == n_columns


@pytest.mark.parametrize(
    "y",
    [pd.Series(X[:, 0], name="height"), PLACES, np.where(PLACES % 5 == 0, np.nan, X[:, 0])],
    ids=["fractions", "many whole numbers", "missing"],
)
def test_quantity(y):
    display = LatentSpaceDisplay(codes=CODES, y=y).plot()
    drawn = np.ma.filled(display.scatter_.get_array().astype(float), np.nan)
    np.testing.assert_array_equal(drawn, y)
    assert len(display.scatter_.get_offsets()) == 40
    assert display.legend_ is None
    assert display.colorbar_.ax.get_ylabel() == getattr(y, "name", "")
    display.figure_.canvas.draw()


def test_labels_are_within_the_figure():
    rng = np.random.default_rng(22)  # codes whose ticks change with the layout
    codes = rng.normal(size=(300, 2)) * [6, rng.uniform(1, 6)]
    y = pd.Series(9000 * rng.lognormal(size=300), name="price")
    display = LatentSpaceDisplay(codes=codes, y=y, components=(0, 1)).plot()
    display.figure_.canvas.draw()
    assert display.ax_.yaxis.label.get_window_extent().x0 > 0


def test_infinite_values_are_grey():
    display = LatentSpaceDisplay(codes=CODES, y=np.where(PLACES % 2, np.inf, 1.0)).plot()
    display.figure_.canvas.draw()
    np.testing.assert_array_equal(display.scatter_.get_array().mask, PLACES % 2)


def test_dates_have_a_colour_bar_of_dates():
    days = pd.Series(pd.date_range("2020-01-01", periods=40), name="day")
    days[3] = None
    display = LatentSpaceDisplay(codes=CODES, y=days).plot()
    display.figure_.canvas.draw()
    assert "Feb" in [label.get_text() for label in display.colorbar_.ax.get_yticklabels()]


def test_durations_are_a_quantity_in_days():
    hours = pd.Series(pd.timedelta_range("0h", periods=40, freq="12h"), name="delivery")
    hours[3] = None
    display = LatentSpaceDisplay(codes=CODES, y=hours).plot()
    assert display.colorbar_.ax.get_ylabel() == "delivery (days)"
    np.testing.assert_allclose(display.scatter_.get_array()[4:], np.arange(4, 40) / 2)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([0, 1], "'y' must have one value for each of the 40 rows of X; got 2 values"),
        ("species", "got 1 values"),
        (
            ["a", 1] * 20,
            r"'y' must hold only .*; got values of type int, str\. Convert",
        ),
        (np.array([None, "a", 2.5, "a"] * 10, dtype=object), "of type float, str"),
        (X[:, :2], r"'y' must be one-dimensional; got shape \(40, 2\)"),
        ([[1, 2]] * 40, "of type list"),
        (np.ones(40, dtype=complex), "of type complex"),
    ],
    ids=["short", "a name", "mixed list", "mixed objects", "two columns", "lists", "complex"],
)
def test_target_is_checked(y, match, model):
    with pytest.raises(ValueError, match=match):
        LatentSpaceDisplay.from_estimator(model, X, y)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    "components", [(0, 2), (0,), (0, 1, 1), (-1, 0), (1, 1), (0, 1.0), (0, True), 1, "01"], ids=str
)
def test_components_are_checked(components, model):
    with pytest.raises(ValueError, match=r"'components' must be two different whole .*from 0 to 1"):
        LatentSpaceDisplay.from_estimator(model, X, components=components)


def test_with_std_is_a_bool(model):
    with pytest.raises(ValueError, match="'with_std' must be a bool; got 1"):
        LatentSpaceDisplay.from_estimator(model, X, with_std=1)


def test_one_component_has_no_plane():
    with pytest.raises(ValueError, match="A map of codes needs at least two components"):
        LatentSpaceDisplay.from_estimator(vae(n_components=1).fit(X), X)
