"""What holds for every display: its axes, and the estimators that it takes."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import SymLogNorm
from matplotlib.image import AxesImage
from pictures import DISPLAYS, FRAME, SHAPE, X, vae
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skvae import VAEImputer, VAETransformer
from skvae.plots import (
    LatentSpaceDisplay,
    LoadingsDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
)

every_display = pytest.mark.parametrize("draw", DISPLAYS.values(), ids=DISPLAYS)


@every_display
def test_own_figure_and_given_axes(draw, model):
    display = draw(model)
    assert display.figure_ is display.ax_.figure
    display.figure_.canvas.draw()

    figure, axes = plt.subplots(1, 2)
    assert draw(model, ax=axes[1]).ax_ is axes[1]
    assert display.plot(axes[0]) is display
    assert display.ax_ is axes[0]
    assert display.figure_ is figure


@every_display
def test_axes_outside_a_grid_of_subplots(draw, model):
    figure = plt.figure()
    ax = figure.add_axes([0.5, 0.5, 0.4, 0.4])
    assert draw(model, ax=ax).ax_ is ax
    figure.canvas.draw()


@pytest.mark.parametrize("name", ["cells", "associations", "loadings", "morph", "manifold"])
def test_a_norm_of_colours(name, model):
    norm = SymLogNorm(1.0, vmin=-4.0, vmax=4.0)
    display = DISPLAYS[name](model, norm=norm)
    images = display.figure_.findobj(AxesImage)
    assert images
    assert all(image.norm is norm for image in images)


@every_display
def test_ax_must_be_one(draw, model):
    with pytest.raises(TypeError, match="'ax' must be one matplotlib Axes or None; got a ndarray"):
        draw(model, ax=plt.subplots(1, 2)[1])


@every_display
def test_matplotlib_missing(draw, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "skvae\[plots\]"'):
        draw(model)


@every_display
@pytest.mark.parametrize(
    ("estimator", "error", "match"),
    [
        (PCA(2).fit(X), TypeError, r"'estimator' must be a fitted VAETransformer.*got PCA"),
        (make_pipeline(PCA(2)).fit(X), TypeError, r"got PCA\(n_components=2\)"),
        (VAETransformer, TypeError, r"got <class .*VAETransformer'>"),
        (VAEImputer(), TypeError, "Of a VAEImputer or a VAEOutlierDetector, pass estimator_"),
        (None, TypeError, "got None"),
        (vae(), NotFittedError, "'estimator' must be fitted; got an unfitted VAETransformer"),
        (make_pipeline(MinMaxScaler(), vae()), NotFittedError, "Call fit first"),
        (GridSearchCV(vae(), {}), NotFittedError, "Fit it with refit=True"),
    ],
    ids=["PCA", "pipeline of PCA", "class", "imputer", "None", "unfitted", "pipeline", "search"],
)
def test_estimator_must_be_a_fitted_model(draw, estimator, error, match):
    with pytest.raises(error, match=match):
        draw(estimator)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("wrap", "unwrap"),
    [
        (lambda m: m, lambda m: m),
        (lambda m: GridSearchCV(m, {}, cv=2), lambda m: m.best_estimator_),
        (
            lambda m: make_pipeline("passthrough", GridSearchCV(m, {}, cv=2)),
            lambda m: m[-1].best_estimator_,
        ),
    ],
    ids=["pipeline", "search", "search in a pipeline"],
)
def test_pipelines_and_searches(wrap, unwrap, pipeline):
    fitted = wrap(pipeline).fit(FRAME)
    scaler, model = unwrap(fitted)
    loss = LossCurveDisplay.from_estimator(fitted)
    np.testing.assert_array_equal(loss.lines_[0].get_ydata(), model.loss_curve_)

    latent = LatentSpaceDisplay.from_estimator(fitted, FRAME)
    np.testing.assert_array_equal(latent.codes, model.transform(scaler.transform(FRAME)))

    table = ReconstructionDisplay.from_estimator(fitted, FRAME)
    made = scaler.inverse_transform(model.reconstruct(scaler.transform(FRAME)))
    np.testing.assert_allclose(table.reconstructions, made)
    ManifoldDisplay.from_estimator(fitted, SHAPE)
    LoadingsDisplay.from_estimator(fitted)
    DISPLAYS["sample"](fitted)


@pytest.mark.parametrize(
    ("name", "argument", "bounds"),
    [
        ("manifold", "n_steps", "from 2 to 10000"),
        ("interpolation", "n_steps", "from 2 to 10000"),
        ("morph", "n_steps", "of at least 1"),
        ("traversal", "n_steps", "from 2 to 10000"),
        ("images", "n_rows", "of at least 1"),
        ("table", "n_rows", "of at least 1"),
        ("loadings", "n_features", "of at least 1"),
        ("classes", "n_images", "of at least 1"),
        ("cells", "n_rows", "of at least 1"),
        ("cells", "n_features", "of at least 1"),
        ("imputation", "n_imputations", "of at least 1"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, True, 4.0, "4"])
def test_counts_must_be_whole_numbers(name, argument, bounds, value, model):
    match = f"'{argument}' must be a whole number {bounds}; got {value!r}"
    with pytest.raises(ValueError, match=match):
        DISPLAYS[name](model, **{argument: value})
    assert plt.get_fignums() == []
