import numpy as np
import pytest
from pictures import FRAME, SHAPE, X, tiles, vae
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae.plots import SampleDisplay
from skvae.plots._sample import _codes_like


@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_rows_of_sample(prior):
    model = vae(prior=prior).fit(X)
    display = SampleDisplay.from_estimator(model, SHAPE, grid=(3, 4), random_state=1)
    drawn = tiles(display, 3, 4).reshape(12, 6)
    np.testing.assert_array_equal(drawn, model.sample(12, random_state=1))


def test_a_pipeline_inverts_its_steps():
    scaler, model = pipeline = make_pipeline(
        make_pipeline(StandardScaler(), MinMaxScaler()), vae()
    ).fit(FRAME)
    display = SampleDisplay.from_estimator(pipeline, SHAPE, grid=(1, 5), random_state=1)
    expected = scaler.inverse_transform(model.sample(5, random_state=1))
    np.testing.assert_array_equal(display.images.reshape(5, 6), expected)


@pytest.mark.parametrize("grid", [(0, 2), (2,), (2.0, 2), (True, 2), 4, "44"], ids=str)
def test_grid_is_checked(grid, model):
    with pytest.raises(ValueError, match=r"'grid' must be two positive .* got "):
        SampleDisplay.from_estimator(model, SHAPE, grid=grid)


def test_codes_have_the_moments_of_the_posteriors():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(2, 6, 3))
    std = np.exp(std)
    codes = _codes_like(mean, std, 200_000, rng)
    draws = rng.normal(mean, std, size=(50_000, 6, 3)).reshape(-1, 3)
    np.testing.assert_allclose(codes.mean(axis=0), draws.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(np.cov(codes.T), np.cov(draws.T), rtol=0.05, atol=0.05)


def test_classes_of_images(model):
    y = np.arange(40) % 12
    display = SampleDisplay.from_classes(model, X, y, SHAPE, n_images=3, random_state=0)
    assert display.images.shape == (10, 3, *SHAPE)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == [str(number) for number in range(10)]
    again = SampleDisplay.from_classes(model, X, y, SHAPE, n_images=3, random_state=0)
    np.testing.assert_array_equal(again.images, display.images)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (X[:, 0], "'y' must hold classes: .*got a quantity"),
        ([0, 1], "'y' must have one value for each of the 40 rows"),
    ],
    ids=["quantity", "short"],
)
def test_classes_are_checked(y, match, model):
    with pytest.raises(ValueError, match=match):
        SampleDisplay.from_classes(model, X, y, SHAPE)


def test_classes_of_the_rows_of_a_pipeline(pipeline):
    y = FRAME["a"] > 0.5
    display = SampleDisplay.from_classes(pipeline, FRAME, y, SHAPE, random_state=0)
    scaler, model = pipeline
    of_model = SampleDisplay.from_classes(model, scaler.transform(FRAME), y, SHAPE, random_state=0)
    made = scaler.inverse_transform(of_model.images.reshape(-1, 6))
    np.testing.assert_allclose(display.images.reshape(-1, 6), made)
