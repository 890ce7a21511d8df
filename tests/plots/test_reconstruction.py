import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from pictures import FRAME, SHAPE, X, tiles, vae
from scipy.sparse import coo_array, csr_array

from skvae import Parts
from skvae.plots import ReconstructionDisplay


@pytest.mark.parametrize("container", [np.asarray, csr_array, coo_array])
def test_images(container, model):
    display = ReconstructionDisplay.from_estimator(model, container(X), image_shape=SHAPE, n_rows=4)
    inputs, reconstructions = tiles(display, 2, 4).reshape(2, 4, -1)
    np.testing.assert_array_equal(inputs, X[:4])
    np.testing.assert_allclose(reconstructions, model.reconstruct(X[:4]))
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["input", "reconstruction"]
    low, high = display.im_.get_clim()
    assert low == min(inputs.min(), reconstructions.min())
    assert high == max(inputs.max(), reconstructions.max())


def test_ten_images_by_default(model):
    display = ReconstructionDisplay.from_estimator(model, X, image_shape=SHAPE)
    assert display.inputs.shape == display.reconstructions.shape == (10, 6)


@pytest.mark.parametrize(
    "container", [np.asarray, np.ndarray.tolist, csr_array, coo_array, lambda X: Parts([X])]
)
def test_table(container, model):
    display = ReconstructionDisplay.from_estimator(model, container(X))
    reconstructions = model.reconstruct(X)
    assert len(display.axes_) == 6
    for place, panel in enumerate(display.axes_):
        points = panel.collections[0].get_offsets()
        np.testing.assert_array_equal(points[:, 0], X[:, place])
        np.testing.assert_allclose(points[:, 1], reconstructions[:, place])
        error = np.mean((X - reconstructions)[:, place] ** 2)
        explained = 1 - error / X[:, place].var()
        assert panel.get_title() == f"x{place}\n$R^2$ = {explained:.2f}"


def test_panels_show_the_points_on_equal_limits():
    x = np.linspace(100, 101, 30)[:, None]
    (panel,) = ReconstructionDisplay(inputs=x, reconstructions=x + 0.5).plot().axes_
    panel.figure.canvas.draw()
    assert panel.get_xlim() == panel.get_ylim() == pytest.approx((99.925, 101.575))


@pytest.mark.parametrize("n_features", [1, 2, 5, 13])
def test_panels_lie_within_the_axes_and_apart(n_features):
    figure = plt.figure(figsize=(8, 8))
    ax = figure.add_axes([0.4, 0.1, 0.5, 0.7])
    rows = np.random.default_rng(0).normal(size=(9, n_features))
    display = ReconstructionDisplay(inputs=rows, reconstructions=rows).plot(ax)
    figure.canvas.draw()
    boxes = [panel.get_position() for panel in display.axes_]
    for i, box in enumerate(boxes):
        assert ax.get_position().contains(*box.min)
        assert ax.get_position().contains(*box.max)
        assert box.count_overlaps(boxes[:i]) == 0


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_features_and_rows(kind, pipeline):
    frame = kind({name: FRAME[name].to_numpy() for name in FRAME})
    display = ReconstructionDisplay.from_estimator(pipeline, frame, features=["c", 0], n_rows=5)
    assert list(display.feature_names) == ["c", "a"]
    np.testing.assert_array_equal(display.inputs, X[:5, [2, 0]])
    one = ReconstructionDisplay.from_estimator(pipeline, frame, features="b")
    assert list(one.feature_names) == ["b"]


def test_rows_are_counted_and_not_looked_up(pipeline):
    frame = FRAME.set_axis(np.arange(40.0)[::-1])
    display = ReconstructionDisplay.from_estimator(pipeline, frame, n_rows=5)
    np.testing.assert_array_equal(display.inputs, X[:5])


@pytest.mark.parametrize(
    ("features", "got"),
    [(["a", "g"], "'g'"), ([6], "6"), ([-1], "-1"), ([1.0], "1.0"), (True, "True"), ([], r"\[\]")],
    ids=str,
)
def test_features_are_checked(features, got, pipeline):
    with pytest.raises(ValueError, match=f"'features' must be names .* got {got}"):
        ReconstructionDisplay.from_estimator(pipeline, FRAME, features=features)
    assert plt.get_fignums() == []


def test_mixed_columns_with_missing_values():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({
        "kind": rng.choice(["x", "y"], 40), "size": rng.normal(size=40),
        "count": pd.array(rng.integers(0, 9, 40), dtype="Int64"),
    })  # fmt: skip
    table.loc[::5, ["kind", "size", "count"]] = None
    model = vae().fit(table)
    display = ReconstructionDisplay.from_estimator(model, table)
    assert list(display.feature_names) == ["size", "count"]
    for panel in display.axes_:
        assert len(panel.collections[0].get_offsets()) == 32
        assert "nan" not in panel.get_title()
    with pytest.raises(ValueError, match="'features' must be columns of numbers; got 'kind'"):
        ReconstructionDisplay.from_estimator(model, table, features=["size", "kind"])
    with pytest.raises(ValueError, match="'X' must have a column of numbers"):
        ReconstructionDisplay.from_estimator(vae().fit(table[["kind"]]), table[["kind"]])


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_no_coefficient_for_a_constant_or_empty_column(value):
    rows = np.column_stack([np.full(30, value), np.arange(30.0)])
    display = ReconstructionDisplay(inputs=rows, reconstructions=np.ones((30, 2))).plot()
    display.figure_.canvas.draw()
    assert [panel.get_title().count("R^2") for panel in display.axes_] == [0, 1]


def test_sixteen_columns_by_default():
    wide = np.random.default_rng(0).normal(size=(30, 20))
    assert len(ReconstructionDisplay.from_estimator(vae().fit(wide), wide).axes_) == 16
