import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skvae import VAETransformer
from skvae.plots import (
    InterpolationDisplay,
    LatentSpaceDisplay,
    LoadingsDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)

plt = pytest.importorskip("matplotlib.pyplot")

SHAPE = (2, 3)
X = np.random.default_rng(0).uniform(size=(40, 6))
FRAME = pd.DataFrame(X, columns=list("abcdef"))


def vae(**parameters):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, "device": "cpu"}
    return VAETransformer(**settings | parameters)


@pytest.fixture(scope="module")
def model():
    return vae().fit(X)


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(MinMaxScaler(), vae()).fit(FRAME)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


DRAW = {
    "loss": lambda model, **k: LossCurveDisplay.from_estimator(model, **k),
    "latent": lambda model, **k: LatentSpaceDisplay.from_estimator(model, X, **k),
    "table": lambda model, **k: ReconstructionDisplay.from_estimator(model, X, **k),
    "images": lambda model, **k: ReconstructionDisplay.from_estimator(
        model, X, image_shape=SHAPE, **k
    ),
    "manifold": lambda model, **k: ManifoldDisplay.from_estimator(model, SHAPE, **k),
    "interpolation": lambda model, **k: InterpolationDisplay.from_estimator(
        model, X[:2], X[2:4], SHAPE, **k
    ),
    "sample": lambda model, **k: SampleDisplay.from_estimator(model, SHAPE, **k),
}
IMAGES = ("images", "manifold", "interpolation", "sample")


def tiles(display, n_rows, n_columns):
    """The images in a drawn mosaic, (n_rows, n_columns, height, width)."""
    picture = np.asarray(display.im_.get_array().filled(np.nan))
    filled = np.isfinite(picture)
    picture = picture[filled.any(axis=1)][:, filled.any(axis=0)]
    return picture.reshape(n_rows, SHAPE[0], n_columns, SHAPE[1]).swapaxes(1, 2)


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_own_figure_and_given_axes(draw, model):
    display = draw(model)
    assert display.figure_ is display.ax_.figure
    display.figure_.canvas.draw()

    figure, axes = plt.subplots(1, 2)
    assert draw(model, ax=axes[1]).ax_ is axes[1]
    assert display.plot(axes[0]) is display
    assert display.ax_ is axes[0]
    assert display.figure_ is figure


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_unfitted(draw):
    with pytest.raises(NotFittedError):
        draw(vae())


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_matplotlib_missing(draw, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "skvae\[plots\]"'):
        draw(model)


@pytest.mark.parametrize("name", IMAGES)
def test_image_shape_must_fit(name, model, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SHAPE", (2, 2))
    with pytest.raises(ValueError, match=r"image_shape=\(2, 2\) holds 4 values, but a row has 6"):
        DRAW[name](model)


@pytest.mark.parametrize("name", IMAGES)
def test_style_reaches_the_image(name, model):
    assert DRAW[name](model).im_.get_cmap().name == "gray"
    display = DRAW[name](model, cmap="gray_r", vmin=-1, vmax=2)
    assert display.im_.get_cmap().name == "gray_r"
    assert display.im_.get_clim() == (-1, 2)


def test_loss_curve(model):
    display = LossCurveDisplay.from_estimator(model)
    training, validation = display.lines_
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(training.get_ydata(), model.loss_curve_)
    np.testing.assert_array_equal(validation.get_ydata(), -np.array(model.validation_scores_))
    assert display.best_.get_ydata() == [-model.best_validation_score_]
    assert display.best_.get_xdata() == [1 + np.argmax(model.validation_scores_)]


def test_loss_curves_share_a_style_and_stay_apart(model):
    display = LossCurveDisplay.from_estimator(model, label="first", c="gray", lw=1)
    assert display.best_.get_label().startswith("first: best epoch: ")
    assert [line.get_label() for line in display.lines_] == ["first: training", "first: validation"]
    assert [line.get_linestyle() for line in display.lines_] == ["-", "--"]
    assert {(line.get_color(), line.get_linewidth()) for line in display.lines_} == {("gray", 1)}
    dotted = LossCurveDisplay.from_estimator(model, color="gray", ls=":", label=None)
    assert [line.get_label() for line in dotted.lines_] == ["training", "validation"]
    assert [line.get_linestyle() for line in dotted.lines_] == [":", ":"]


def test_loss_curve_without_validation():
    display = LossCurveDisplay.from_estimator(vae(early_stopping=False).fit(X))
    assert len(display.lines_) == 1
    assert display.best_ is None


def test_images_of_categories_are_refused():
    frame = pd.DataFrame({"x": np.arange(60.0) % 7, "city": ["Rome", "Oslo", "Bonn"] * 20})
    vae = VAETransformer(2, max_iter=1, random_state=0).fit(frame)
    with pytest.raises(ValueError, match="a column of the estimator holds categories"):
        SampleDisplay.from_estimator(vae, (1, 2))


def test_a_single_epoch_is_a_point():
    display = LossCurveDisplay(loss_curve=[2.0], validation_curve=[3.0]).plot()
    assert [line.get_marker() for line in display.lines_] == [".", "."]
    several = LossCurveDisplay(loss_curve=[2.0, 1.0]).plot()
    assert several.lines_[0].get_marker() == "None"


@pytest.mark.parametrize(
    "wrap", [lambda m: m, lambda m: GridSearchCV(m, {}, cv=2)], ids=["pipeline", "search"]
)
def test_pipelines_and_searches(wrap, pipeline):
    fitted = wrap(pipeline).fit(FRAME)
    inner = getattr(fitted, "best_estimator_", fitted)
    loss = LossCurveDisplay.from_estimator(fitted)
    np.testing.assert_array_equal(loss.lines_[0].get_ydata(), inner[-1].loss_curve_)

    latent = LatentSpaceDisplay.from_estimator(fitted, FRAME)
    np.testing.assert_array_equal(latent.codes, inner.transform(FRAME))

    table = ReconstructionDisplay.from_estimator(fitted, FRAME)
    made = inner[0].inverse_transform(inner[-1].reconstruct(inner[0].transform(FRAME)))
    np.testing.assert_allclose(table.reconstructions, made)
    ManifoldDisplay.from_estimator(fitted, SHAPE)


def test_latent_space_shows_the_components_that_tell_most():
    fitted = vae(n_components=3).fit(X)
    fitted._fitted.kl_divergence = np.array([1.0, 0.0, 2.0])
    display = LatentSpaceDisplay.from_estimator(fitted, X)
    assert display.components == (0, 2)
    np.testing.assert_array_equal(display.codes, fitted.transform(X)[:, [0, 2]])
    pca = PCA(3).fit(X)
    assert LatentSpaceDisplay.from_estimator(pca, X).components == (0, 1)


def test_latent_space_of_too_many_classes_for_a_legend():
    codes = np.random.default_rng(0).normal(size=(101, 2))
    for n, legend in ((100, True), (101, False)):
        display = LatentSpaceDisplay(codes=codes[:n], y=[f"id {i}" for i in range(n)]).plot()
        assert (display.legend_ is not None) == legend
        assert display.colorbar_ is None


def test_latent_space_plain(model):
    display = LatentSpaceDisplay.from_estimator(model, X, components=(1, 0), s=7)
    np.testing.assert_array_equal(display.scatter_.get_offsets(), model.transform(X)[:, ::-1])
    assert display.scatter_.get_sizes() == [7]
    assert display.legend_ is None
    assert display.colorbar_ is None
    assert display.ax_.get_xlabel() == "component 1"
    assert display.ax_.get_ylabel() == "component 0"


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (np.arange(40) % 3, ["0", "1", "2"]),
        (np.where(np.arange(40) < 7, "yes", "no"), ["no", "yes"]),
        (pd.Series(np.arange(40) % 2 == 0, name="even"), ["False", "True"]),
        (np.array([f"{place:02}" for place in np.arange(40) % 12]), [f"{i:02}" for i in range(12)]),
    ],
    ids=["whole numbers", "strings", "booleans", "many classes"],
)
def test_latent_space_classes(y, labels, model):
    display = LatentSpaceDisplay.from_estimator(model, X, y)
    assert [text.get_text() for text in display.legend_.get_texts()] == labels
    assert display.legend_.get_title().get_text() == getattr(y, "name", "")
    assert display.colorbar_ is None
    display.figure_.canvas.draw()
    colors = display.scatter_.get_facecolors()
    assert len(np.unique(colors, axis=0)) == len(labels)
    swatches = [handle.get_color() for handle in display.legend_.legend_handles]
    for place in range(40):  # the legend's colours are those of the points
        swatch = swatches[labels.index(str(np.asarray(y)[place]))]
        np.testing.assert_allclose(colors[place, :3], swatch[:3])


@pytest.mark.parametrize(
    "y", [pd.Series(X[:, 0], name="height"), np.arange(40)], ids=["decimals", "many whole numbers"]
)
def test_latent_space_quantity(y, model):
    display = LatentSpaceDisplay.from_estimator(model, X, y)
    np.testing.assert_array_equal(display.scatter_.get_array(), y)
    assert display.legend_ is None
    assert display.colorbar_.ax.get_ylabel() == getattr(y, "name", "")


@pytest.mark.parametrize("components", [(0, 2), (0,), (-1, 0)], ids=str)
def test_latent_space_components(components, model):
    with pytest.raises(ValueError, match="must be two of the 2 components"):
        LatentSpaceDisplay.from_estimator(model, X, components=components)


def test_latent_space_length_of_y(model):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LatentSpaceDisplay.from_estimator(model, X, [0, 1])


def test_reconstructed_images(model):
    display = ReconstructionDisplay.from_estimator(model, X, image_shape=SHAPE, n_rows=4)
    inputs, reconstructions = tiles(display, 2, 4).reshape(2, 4, -1)
    np.testing.assert_array_equal(inputs, X[:4])
    np.testing.assert_allclose(reconstructions, model.reconstruct(X[:4]))
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["input", "reconstruction"]
    low, high = display.im_.get_clim()
    assert low == min(inputs.min(), reconstructions.min())
    assert high == max(inputs.max(), reconstructions.max())


def test_reconstructed_images_default_to_ten(model):
    display = ReconstructionDisplay.from_estimator(model, X, image_shape=SHAPE)
    assert display.inputs.shape == display.reconstructions.shape == (10, 6)


def test_colour_images(model):
    display = ReconstructionDisplay.from_estimator(model, X, image_shape=(1, 2, 3), n_rows=4)
    picture = display.im_.get_array()
    low = min(X[:4].min(), display.reconstructions.min())
    high = max(X[:4].max(), display.reconstructions.max())
    assert picture.shape == (3, 11, 3)
    np.testing.assert_allclose(picture[0, :2].ravel(), (X[0] - low) / (high - low))


def test_reconstructed_table(model):
    display = ReconstructionDisplay.from_estimator(model, X)
    reconstructions = model.reconstruct(X)
    assert len(display.axes_) == 6
    for place, panel in enumerate(display.axes_):
        points = panel.collections[0].get_offsets()
        np.testing.assert_array_equal(points[:, 0], X[:, place])
        np.testing.assert_allclose(points[:, 1], reconstructions[:, place])
        error = np.mean((X - reconstructions)[:, place] ** 2)
        explained = 1 - error / X[:, place].var()
        assert panel.get_title() == f"x{place}\n$R^2$ = {explained:.2f}"


def test_reconstructed_table_features(pipeline):
    display = ReconstructionDisplay.from_estimator(pipeline, FRAME, features=["c", 0], n_rows=5)
    assert list(display.feature_names) == ["c", "a"]
    np.testing.assert_array_equal(display.inputs, X[:5, [2, 0]])
    with pytest.raises(ValueError, match="'features' names 'g', but the columns are"):
        ReconstructionDisplay.from_estimator(pipeline, FRAME, features=["a", "g"])


def test_reconstructed_table_of_mixed_columns_with_gaps():
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
    with pytest.raises(ValueError, match="Column 'kind' holds categories"):
        ReconstructionDisplay.from_estimator(model, table, features=["size", "kind"])
    with pytest.raises(ValueError, match="No column holds numbers"):
        ReconstructionDisplay.from_estimator(vae().fit(table[["kind"]]), table[["kind"]])


def test_classes_in_their_order_and_in_columns():
    tier = pd.Categorical(["low", "high", None, "low"] * 10, ["low", "mid", "high"], ordered=True)
    display = LatentSpaceDisplay(codes=np.zeros((40, 2)), y=pd.Series(tier, name="tier")).plot()
    assert [text.get_text() for text in display.legend_.get_texts()] == ["missing", "low", "high"]
    many = LatentSpaceDisplay(codes=np.zeros((40, 2)), y=[f"city {i}" for i in range(40)]).plot()
    assert many.legend_._ncols == 3


def test_reconstructed_table_constant_column():
    constant = np.column_stack([np.ones(30), np.arange(30.0)])
    display = ReconstructionDisplay.from_estimator(vae().fit(constant), constant)
    display.figure_.canvas.draw()
    assert "nan" in display.axes_[0].get_title()


def test_wide_table_shows_some_columns():
    wide = np.random.default_rng(0).normal(size=(30, 20))
    assert len(ReconstructionDisplay.from_estimator(vae().fit(wide), wide).axes_) == 16


def test_loadings(model):
    display = LoadingsDisplay.from_estimator(model, n_features=4)
    loadings = model.loadings()
    assert display.loadings.shape == (4, 2)
    assert np.abs(display.loadings.to_numpy()).max() == np.abs(loadings.to_numpy()).max()
    pd.testing.assert_frame_equal(display.loadings, loadings.loc[display.loadings.index])
    np.testing.assert_array_equal(display.im_.get_array(), display.loadings)
    assert display.im_.get_clim() == pytest.approx(
        np.array([-1, 1]) * np.abs(loadings.to_numpy()).max()
    )
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == list(
        display.loadings.index
    )
    with pytest.raises(ValueError, match=r"'n_features' must be .* got 0"):
        LoadingsDisplay.from_estimator(model, n_features=0)


@pytest.mark.parametrize("spacing", ["linear", "percentile"])
def test_manifold(spacing, model):
    display = ManifoldDisplay.from_estimator(model, SHAPE, n_steps=4, spacing=spacing, extent=3)
    expected = [-3, -1, 1, 3] if spacing == "linear" else norm.ppf([0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(display.grid, expected)
    drawn = tiles(display, 4, 4)
    for i in range(4):
        codes = np.column_stack([display.grid, np.full(4, display.grid[i])])
        decoded = model.inverse_transform(codes * model.scale_).reshape(4, *SHAPE)
        np.testing.assert_allclose(display.images[i], decoded)
        np.testing.assert_allclose(drawn[3 - i], decoded)  # component 1 upwards


def test_manifold_labels(model):
    labels = {
        spacing: [
            label.get_text()
            for label in ManifoldDisplay.from_estimator(
                model, SHAPE, n_steps=3, spacing=spacing, extent=2
            ).ax_.get_yticklabels()
        ]
        for spacing in ("linear", "percentile")
    }
    assert labels == {"linear": ["-2.0", "0.0", "2.0"], "percentile": ["17", "50", "83"]}


def test_manifold_errors(model):
    with pytest.raises(ValueError, match="two components, but the estimator has 3"):
        ManifoldDisplay.from_estimator(vae(n_components=3).fit(X), SHAPE)
    with pytest.raises(ValueError, match="'spacing' must be 'linear' or 'percentile'"):
        ManifoldDisplay.from_estimator(model, SHAPE, spacing="log")


def test_interpolation(model):
    display = InterpolationDisplay.from_estimator(model, X[:2], X[2:4], SHAPE, n_steps=5)
    drawn = tiles(display, 2, 5).reshape(2, 5, -1)
    np.testing.assert_allclose(drawn[:, 0], model.reconstruct(X[:2]))
    np.testing.assert_allclose(drawn[:, -1], model.reconstruct(X[2:4]))
    middle = (model.transform(X[:2]) + model.transform(X[2:4])) / 2
    np.testing.assert_allclose(drawn[:, 2], model.inverse_transform(middle))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        InterpolationDisplay.from_estimator(model, X[:2], X[:1], SHAPE)


def test_samples(model):
    display = SampleDisplay.from_estimator(model, SHAPE, grid=(3, 4), random_state=1)
    codes = np.random.default_rng(1).standard_normal((12, 2))
    decoded = model.inverse_transform(codes * model.scale_)
    np.testing.assert_allclose(tiles(display, 3, 4).reshape(12, 6), decoded)
