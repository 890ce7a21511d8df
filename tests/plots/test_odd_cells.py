import numpy as np
import pandas as pd
import polars as pl
import pytest
from pictures import FRAME, X, vae
from scipy.sparse import csr_array

from skvae.plots import OddCellsDisplay
from skvae.plots._odd_cells import _written

ODD = X.copy()
ODD[[3, 20], [1, 4]] = [40.0, -30.0]


@pytest.mark.parametrize(
    "container", [np.asarray, csr_array, lambda x: pl.DataFrame(x, [f"x{i}" for i in range(6)])]
)
def test_least_likely_rows_and_columns_in_order(container):
    model = vae().fit(container(X))
    display = OddCellsDisplay.from_estimator(model, container(ODD), n_rows=2, n_features=2)
    cells = np.asarray(model.score_cells(container(ODD[[3, 20]])))
    assert list(display.scores.index) == [3, 20]
    assert list(display.scores.columns) == ["x1", "x4"]
    np.testing.assert_allclose(display.scores, cells[:, [1, 4]])
    np.testing.assert_array_equal(display.values, ODD[[3, 20]][:, [1, 4]])
    np.testing.assert_array_equal(display.im_.get_array(), display.scores)
    assert display.text_[0, 0].get_text() == "40"
    assert display.text_[0, 0].get_position() == (0, 0)
    assert display.text_[1, 0].get_position() == (0, 1)


def test_values_of_a_mixed_table_as_text():
    table = pd.DataFrame(
        {
            "number": np.arange(40) * 1.23456789,
            "whole": np.arange(40) % 7 + 123456,
            "city": ["Llanfairpwllgwyngyll", "Oslo"] * 20,
            "day": pd.date_range("2020-01-01", periods=40),
            "gap": np.where(np.arange(40) % 2, np.nan, np.arange(40)),
        },
        index=[f"row {place}" for place in range(40)],
    )
    display = OddCellsDisplay.from_estimator(vae().fit(table), table.iloc[[1, 2]])
    texts = [[text.get_text() for text in row] for row in display.text_]
    assert texts == [
        ["1.235", "123457", "Oslo", "2020-01-02", ""],
        ["2.469", "123458", "Llan…gyll", "2020-01-03", "2"],
    ]
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["row 1", "row 2"]


def test_text_is_readable():
    scores = pd.DataFrame({"x": [-100.0, 0.0]})
    display = OddCellsDisplay(scores=scores, values=scores).plot()
    assert [text.get_color() for text in display.text_[:, 0]] == ["white", "black"]


def test_the_last_step_of_a_pipeline(pipeline):
    scaler, model = pipeline
    display = OddCellsDisplay.from_estimator(pipeline, FRAME[:5], vmin=-3)
    scaled = scaler.transform(FRAME[:5])
    np.testing.assert_allclose(display.scores, model.score_cells(scaled))
    np.testing.assert_array_equal(display.values, scaled)
    assert display.im_.get_clim() == (-3, 0)


def test_whole_numbers_are_written_in_full():
    assert _written(12345678912) == "12345678912"
    assert _written(np.int64(-3)) == "-3"
    assert _written(0.123456) == "0.1235"
    assert len(_written("a long name of a category")) <= 10
