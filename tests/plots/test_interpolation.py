import numpy as np
import pytest
from pictures import SHAPE, X, tiles, vae
from scipy.sparse import csr_array

from skvae.plots import InterpolationDisplay


@pytest.mark.parametrize("prior", ["normal", "mixture"])
@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_straight_lines_between_codes(container, prior):
    model = vae(prior=prior).fit(X)
    start, stop = X[:2], X[2:4]
    display = InterpolationDisplay.from_estimator(
        model, container(start), container(stop), SHAPE, n_steps=5
    )
    drawn = tiles(display, 2, 5).reshape(2, 5, -1)
    np.testing.assert_allclose(drawn[:, 0], model.reconstruct(start))
    np.testing.assert_allclose(drawn[:, -1], model.reconstruct(stop))
    middle = (model.transform(start) + model.transform(stop)) / 2
    np.testing.assert_allclose(drawn[:, 2], model.inverse_transform(middle))


def test_arcs_of_interpolate(model):
    display = InterpolationDisplay.from_estimator(model, X[:2], X[2:4], SHAPE, method="spherical")
    codes = model.interpolate(
        model.transform(X[:2]), model.transform(X[2:4]), method="spherical"
    ).reshape(-1, 2)
    np.testing.assert_allclose(display.images.reshape(20, -1), model.inverse_transform(codes))


def test_there_must_be_as_many_stops_as_starts(model):
    with pytest.raises(ValueError, match=r"'X_stop' must have a row .* got 1 and 2 rows"):
        InterpolationDisplay.from_estimator(model, X[:2], X[:1], SHAPE)
