"""What holds for every display of images."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from pictures import IMAGES, X, vae

from skvae.plots import ReconstructionDisplay, SampleDisplay

every_image = pytest.mark.parametrize("draw", IMAGES.values(), ids=IMAGES)


@every_image
@pytest.mark.parametrize(
    ("shape", "match"),
    [
        (
            (2, 2),
            r"the product 6, the number of columns; got \(2, 2\) with the product 4",
        ),
        ((-2, -3), r"in positive whole numbers of pixels; got \(-2, -3\)"),
        ((2.0, 3), r"got \(2.0, 3\)"),
        ((True, 6), r"got \(True, 6\)"),
        ((6,), r"must be \(height, width\) or \(height, width, 3\)"),
        ((1, 3, 2), r"got \(1, 3, 2\)"),
        (6, "got 6"),
        ("23", "got '23'"),
    ],
    ids=str,
)
def test_image_shape_must_fit(draw, shape, match, model):
    with pytest.raises(ValueError, match=f"'image_shape' .*{match}"):
        draw(model, shape)
    assert plt.get_fignums() == []


@every_image
def test_style_reaches_the_image(draw, model):
    assert draw(model).im_.get_cmap().name == "gray"
    display = draw(model, cmap="gray_r", vmin=-1, vmax=2)
    assert display.im_.get_cmap().name == "gray_r"
    assert display.im_.get_clim() == (-1, 2)


def test_images_of_categories_are_refused():
    frame = pd.DataFrame({"x": np.arange(60.0) % 7, "city": ["Rome", "Oslo", "Bonn"] * 20})
    with pytest.raises(ValueError, match="a column of the table holds categories"):
        SampleDisplay.from_estimator(vae(max_iter=1).fit(frame), (1, 2))


def test_colour_images(model):
    display = ReconstructionDisplay.from_estimator(model, X, image_shape=(1, 2, 3), n_rows=4)
    picture = display.im_.get_array()
    low = min(X[:4].min(), display.reconstructions.min())
    high = max(X[:4].max(), display.reconstructions.max())
    assert picture.shape == (3, 11, 3)
    np.testing.assert_allclose(picture[0, :2].ravel(), (X[0] - low) / (high - low))
