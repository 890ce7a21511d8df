import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from pictures import FRAME, GAPPY, X, vae

from skvae.plots import ImputationDisplay

HIDDEN = np.isnan(GAPPY)


@pytest.mark.parametrize("steps", ["model", "pipeline"])
def test_points_and_intervals_of_impute(steps, request):
    fitted = request.getfixturevalue(steps)
    table = pd.DataFrame(GAPPY, columns=FRAME.columns) if steps == "pipeline" else GAPPY
    display = ImputationDisplay.from_estimator(
        fitted, table, X, interval=0.5, n_imputations=20, random_state=1
    )
    rows = np.flatnonzero(HIDDEN.any(axis=1))
    if steps == "model":
        filled = fitted.impute(GAPPY[rows])
        draws = fitted.impute(GAPPY[rows], n_imputations=20, random_state=1)
    else:
        scaler, model = fitted
        scaled = scaler.transform(table.iloc[rows])
        filled = scaler.inverse_transform(model.impute(scaled))
        draws = [
            scaler.inverse_transform(draw)
            for draw in model.impute(scaled, n_imputations=20, random_state=1)
        ]
    low, high = np.quantile(draws, [0.25, 0.75], axis=0)
    names = FRAME.columns if steps == "pipeline" else [f"x{place}" for place in range(6)]
    for place, name in enumerate(names):
        values = display.values[display.values["feature"] == name]
        hidden = HIDDEN[rows, place]
        np.testing.assert_array_equal(values.index, rows[hidden])
        np.testing.assert_allclose(values["imputed"], filled[hidden, place])
        np.testing.assert_allclose(values["low"], low[hidden, place])
        np.testing.assert_allclose(values["high"], high[hidden, place])
        np.testing.assert_array_equal(values["true"], X[rows[hidden], place])
        panel = display.axes_[place]
        lines, points = panel.collections
        np.testing.assert_allclose(points.get_offsets(), values[["true", "imputed"]])
        ends = np.array([segment[:, 1] for segment in lines.get_segments()])
        np.testing.assert_allclose(ends, values[["low", "high"]])


def test_share_of_covered_values():
    values = pd.DataFrame(
        {
            "feature": "x",
            "imputed": [1.0, 2, 3, 4],
            "low": 0.0,
            "high": 2.5,
            "true": [1, 2, 3, np.nan],
        }
    )
    (panel,) = ImputationDisplay(values=values).plot(color="green", s=40).axes_
    assert panel.get_title() == "x\n67% covered"
    panel.figure.canvas.draw()
    assert panel.get_xlim() == panel.get_ylim()
    assert panel.collections[1].get_sizes() == [40]


def test_ascending_order_without_true_values():
    values = pd.DataFrame({"feature": "x", "imputed": [3.0, 1, 2], "low": 0.0, "high": 4.0})
    (panel,) = ImputationDisplay(values=values).plot().axes_
    np.testing.assert_array_equal(panel.collections[1].get_offsets(), [[2, 3], [0, 1], [1, 2]])
    assert panel.get_xlabel() == "in ascending order"


def test_forty_values_of_columns_of_numbers_with_missing_values():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "gappy": np.where(np.arange(120) % 2, np.nan, rng.normal(size=120)),
            "whole": pd.array(np.arange(120) % 5, dtype="Int64"),
            "complete": rng.normal(size=120),
            "kind": rng.choice(["a", "b", None], 120),
            "flag": np.where(rng.random(120) < 0.2, None, rng.random(120) < 0.5),
        }
    )
    table.loc[::10, "whole"] = pd.NA
    display = ImputationDisplay.from_estimator(vae().fit(table), table, random_state=0)
    counts = display.values["feature"].value_counts()
    assert counts.to_dict() == {"gappy": 40, "whole": 12}
    assert "true" not in display.values
    chosen = ImputationDisplay.from_estimator(
        vae().fit(table), table, features=["complete", "whole"], random_state=0
    )
    assert set(chosen.values["feature"]) == {"whole"}


def test_dates_are_left_out():
    table = FRAME.assign(day=pd.date_range("2020-01-01", periods=40))
    table.loc[::5, ["a", "day"]] = None
    fitted = vae().fit(table)
    display = ImputationDisplay.from_estimator(fitted, table, random_state=0)
    assert set(display.values["feature"]) == {"a"}
    with pytest.raises(ValueError, match="'day', which holds other values, such as categories or"):
        ImputationDisplay.from_estimator(fitted, table, features="day")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"X": X}, "'X' must have a missing value in a column of numbers"),
        ({"X_true": X[:3]}, r"'X_true' must have the shape of X, \(40, 6\); got \(3, 6\)"),
        ({"interval": 1}, r"'interval' must be a finite number in \(0, 1\); got 1"),
        ({"features": "z"}, "'features' must be names of columns or positions from 0 to 5"),
    ],
    ids=["complete", "shape", "interval", "features"],
)
def test_arguments_are_checked(arguments, match, model):
    with pytest.raises(ValueError, match=match):
        ImputationDisplay.from_estimator(model, **{"X": GAPPY} | arguments)
    assert plt.get_fignums() == []
