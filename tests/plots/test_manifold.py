import numpy as np
import pytest
from pictures import SHAPE, X, tiles, vae
from scipy.stats import norm

from skvae.plots import ManifoldDisplay


@pytest.mark.parametrize("prior", ["normal", "mixture"])
@pytest.mark.parametrize("spacing", ["linear", "percentile"])
def test_grid_over_the_standard_normal(spacing, prior):
    model = vae(prior=prior).fit(X)
    display = ManifoldDisplay.from_estimator(model, SHAPE, n_steps=4, spacing=spacing, extent=3)
    expected = [-3, -1, 1, 3] if spacing == "linear" else norm.ppf([0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(display.grid, expected)
    drawn = tiles(display, 4, 4)
    for i in range(4):
        codes = np.column_stack([display.grid, np.full(4, display.grid[i])])
        decoded = model.inverse_transform(codes * model.scale_).reshape(4, *SHAPE)
        np.testing.assert_allclose(display.images[i], decoded)
        np.testing.assert_allclose(drawn[3 - i], decoded)  # component 1 upwards


@pytest.mark.parametrize(
    ("spacing", "labels"),
    [("linear", ["-2.0", "0.0", "2.0"]), ("percentile", ["17", "50", "83"])],
)
def test_tick_labels(spacing, labels, model):
    display = ManifoldDisplay.from_estimator(model, SHAPE, n_steps=3, spacing=spacing, extent=2)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == labels


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"spacing": "log"}, "'spacing' must be one of 'linear', 'percentile'; got 'log'"),
        ({"extent": 0}, r"'extent' must be a finite number in \(0, 1000\]; got 0"),
        ({"extent": np.inf}, "'extent' .* got inf"),
        ({"extent": "2"}, "'extent' .* got '2'"),
    ],
    ids=str,
)
def test_grid_is_checked(arguments, match, model):
    with pytest.raises(ValueError, match=match):
        ManifoldDisplay.from_estimator(model, SHAPE, **arguments)


def test_two_components_only():
    with pytest.raises(ValueError, match=r"needs a model with two components; got one .*=3"):
        ManifoldDisplay.from_estimator(vae(n_components=3).fit(X), SHAPE)
