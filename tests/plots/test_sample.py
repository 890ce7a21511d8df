import numpy as np
import pytest
from pictures import FRAME, SHAPE, X, tiles, vae
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae.plots import SampleDisplay
from skvae.plots._sample import _codes_like


@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_images_of_codes_from_the_prior(prior):
    model = vae(prior=prior).fit(X)
    display = SampleDisplay.from_estimator(model, SHAPE, grid=(3, 4), random_state=1)
    decoded = model.inverse_transform(model.sample_codes(12, random_state=1))
    np.testing.assert_array_equal(tiles(display, 3, 4).reshape(12, 6), decoded)
    noisy = SampleDisplay.from_estimator(model, SHAPE, grid=(3, 4), noise=True, random_state=1)
    drawn = model.sample(12, random_state=1)
    np.testing.assert_array_equal(tiles(noisy, 3, 4).reshape(12, 6), drawn)


@pytest.mark.parametrize("noise", [False, True])
def test_a_pipeline_inverts_its_steps(noise):
    scaler, model = pipeline = make_pipeline(
        make_pipeline(StandardScaler(), MinMaxScaler()), vae()
    ).fit(FRAME)
    settings = {"grid": (1, 5), "noise": noise, "random_state": 1}
    display = SampleDisplay.from_estimator(pipeline, SHAPE, **settings)
    codes, rows = (draw(5, random_state=1) for draw in (model.sample_codes, model.sample))
    expected = scaler.inverse_transform(rows if noise else model.inverse_transform(codes))
    np.testing.assert_array_equal(display.images.reshape(5, 6), expected)


def test_noise_is_checked(model):
    with pytest.raises(ValueError, match=r"'noise' must be .* got 'no'"):
        SampleDisplay.from_estimator(model, SHAPE, noise="no")


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
