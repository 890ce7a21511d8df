import numpy as np
import pytest
from pictures import FRAME, SHAPE, X, tiles, vae
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae.plots import SampleDisplay


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
