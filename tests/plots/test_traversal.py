import numpy as np
import pytest
from pictures import FRAME, SHAPE, X, tiles, vae
from scipy.sparse import csr_array

from skvae.plots import TraversalDisplay


@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_a_row_of_images_for_each_component(container):
    model = vae(n_components=3).fit(X)
    display = TraversalDisplay.from_estimator(model, container(X), SHAPE, n_steps=5, extent=2)
    np.testing.assert_allclose(display.positions, [-2, -1, 0, 1, 2], atol=1e-12)
    drawn = tiles(display, 3, 5).reshape(3, 5, 6)
    for component in range(3):
        codes = np.repeat(model.transform(X[:1]), 5, axis=0)
        codes[:, component] = display.positions * model.scale_[component]
        np.testing.assert_allclose(drawn[component], model.inverse_transform(codes))
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["component 0", "component 1", "component 2"]


def test_a_row_of_images_for_each_row(pipeline):
    scaler, model = pipeline
    display = TraversalDisplay.from_estimator(pipeline, FRAME, SHAPE, component=1, n_steps=3)
    codes = model.traverse(scaler.transform(FRAME[:10]), 1, 3).reshape(-1, 2)
    expected = pipeline.inverse_transform(codes).reshape(10, 3, *SHAPE)
    np.testing.assert_allclose(display.images, expected)
    assert display.ax_.get_xlabel() == "component 1 (prior standard deviations)"


def test_ten_components_of_largest_divergence():
    model = vae(n_components=12).fit(X)
    model._fitted.kl_divergence = np.array([1.0, 0, 2, 3, 4, 5, 6, 7, 0.5, 9, 10, 11])
    display = TraversalDisplay.from_estimator(model, X, SHAPE)
    np.testing.assert_array_equal(display.components, [0, 2, 3, 4, 5, 6, 7, 9, 10, 11])


def test_component_is_checked(model):
    with pytest.raises(ValueError, match="'component' must be a whole number from 0 to 1; got 2"):
        TraversalDisplay.from_estimator(model, X, SHAPE, component=2)
