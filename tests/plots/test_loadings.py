import numpy as np
import pandas as pd
import pytest

from skvae.plots import LoadingsDisplay


def test_largest_loadings_in_the_order_of_the_table(model):
    display = LoadingsDisplay.from_estimator(model, n_features=4)
    loadings = model.loadings()
    largest = np.abs(loadings.to_numpy()).max()
    assert display.loadings.shape == (4, 2)
    assert np.abs(display.loadings.to_numpy()).max() == largest
    pd.testing.assert_frame_equal(display.loadings, loadings.loc[display.loadings.index])
    np.testing.assert_array_equal(display.im_.get_array(), display.loadings)
    assert display.im_.get_clim() == pytest.approx((-largest, largest))
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert labels == list(display.loadings.index)
