"""The grids on which the values of columns lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_iris, load_linnerud, load_wine
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from skvae._table.grid import Grid, Grids, _parts, find_grid, grid_of_step

RNG = np.random.default_rng(0)
WHOLE = RNG.integers(18, 90, 3000).astype(float)
FOUND = {
    "whole": (WHOLE, Grid(1, 0, 0)),
    "every third": (3 * WHOLE + 1, Grid(3, 1, 0)),
    "thousands": (1000 * WHOLE, Grid(1000, 0, 0)),
    "cents": (RNG.integers(100, 2_000_000, 5000) / 100, Grid(0.01, 0, 2)),
    "twentieths": (0.05 * WHOLE, Grid(0.05, 0, 2)),
    "cents in float32": ((WHOLE / 100).astype(np.float32).astype(float), Grid(0.01, 0, 2)),
    "huge": (RNG.integers(0, 10**12, 1000).astype(float), Grid(1, 0, 0)),
    "sevenths": (WHOLE / 7, Grid(pytest.approx(1 / 7, rel=1e-12), 0, -1)),
    "two": (np.array([0.0, 254.0] * 20), Grid(254, 0, 0)),
    "two in few rows": (np.array([0.0, 254.0, 0.0]), Grid(1, 0, 0)),
    "two of any size": (np.array([0.1, np.pi, np.pi]), Grid(pytest.approx(np.pi - 0.1), 0.1, -1)),
    "few": (np.array([0.0, 20.0, 50.0] * 20), Grid(10, 0, 0)),
    "large": (np.floor(RNG.random(5000) * 5e14), Grid(1, 0, 0)),
    "no two neighbours": (
        np.array([0.0, 6.0, 16.0, 31.0, 37.0] * 5) / 7,
        Grid(pytest.approx(1 / 7), 0, -1),
    ),
}
NONE = {
    "normal": RNG.normal(size=10_000),
    "normal in float32": RNG.normal(size=10_000).astype(np.float32).astype(float),
    "uniform": RNG.random(10_000),
    "logs": np.log(WHOLE),
    "roots": np.sqrt(WHOLE),
    "with a spike": np.r_[0.0, 0.0, RNG.gamma(2, size=50)],
    "significant digits": np.array([float(f"{x:.5g}") for x in np.exp(5 * RNG.normal(size=2000))]),
    "constant": np.ones(5),
    "tiny": 5e-324 * WHOLE,
    "the largest": np.array([1.7e308, -1.7e308, 1.7e308]),
    "two": np.array([0.1, np.pi]),
    "none": np.empty(0),
}


@pytest.mark.parametrize(("x", "grid"), FOUND.values(), ids=FOUND)
def test_grids(x, grid):
    assert find_grid(x) == grid


@pytest.mark.parametrize("x", NONE.values(), ids=NONE)
def test_no_grid(x):
    assert find_grid(x) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler()], ids=str)
def test_a_scaler_leaves_a_grid(scaler, dtype):
    x = scaler.fit_transform(WHOLE[:, None].astype(dtype))[:, 0].astype(float)
    grid = find_grid(x)
    scale = scaler.scale_[0]
    step = scale if isinstance(scaler, MinMaxScaler) else 1 / scale
    assert grid.step == pytest.approx(step, rel=1e-5 if dtype == np.float32 else 1e-12)
    grids = Grids.of([grid])
    assert grids.holds(x[:, None]).all()
    steps = grids.steps(x[:, None])
    np.testing.assert_array_equal(steps, np.rint(steps))
    np.testing.assert_allclose(np.diff(steps[:, 0]), np.diff(WHOLE))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 6),
    st.integers(1, 40),
    st.integers(-(10**6), 10**6),
    st.lists(st.integers(-500, 500), min_size=2, max_size=40, unique=True),
)
def test_values_of_a_decimal_grid_come_back(decimals, step, start, numbers):
    x = np.array(
        [round((start + step * k) / 10**decimals, decimals) for k in [*numbers, numbers[0]]]
    )
    grids = Grids.of([find_grid(x)])
    assert grids.holds(x[:, None]).all()
    np.testing.assert_array_equal(grids.snapped(grids.steps(x[:, None]))[:, 0], x)
    steps = grids.steps(x[:, None])
    np.testing.assert_array_equal(grids.snapped(steps + 0.3)[:, 0], x)
    np.testing.assert_allclose(grids.values(steps)[:, 0], x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer, load_linnerud, load_iris])
def test_a_scaled_and_shifted_column_has_the_same_grid(load):
    X = load().data
    scales, shifts = 10.0 ** RNG.uniform(-3, 3, X.shape[1]), RNG.normal(size=X.shape[1])
    grids = Grids.of([find_grid(x) for x in X.T])
    for scale, Y in (
        (1 / X.std(axis=0), StandardScaler().fit_transform(X)),
        (scales, X * scales),
        (scales, (X + shifts * X.std(axis=0)) * scales),
    ):
        found = Grids.of([find_grid(y) for y in Y.T])
        np.testing.assert_allclose(found.step, grids.step * scale, rtol=1e-6)


@pytest.mark.parametrize(("n", "largest"), [(50, 1e4), (50, 1e5), (300, 1e6), (5000, 1e7)])
def test_cents_of_a_wide_range(n, largest):
    for _ in range(10):
        x = np.round(RNG.uniform(0, largest, n), 2)
        assert find_grid(x) == Grid(0.01, 0, 2)
        scaled = find_grid((x - x.mean()) / x.std())
        assert scaled.step == pytest.approx(0.01 / x.std(), rel=1e-6)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 200), st.sampled_from(["normal", "random"]))
def test_continuous_values_have_no_grid(seed, n, kind):
    assert find_grid(getattr(np.random.default_rng(seed), kind)(size=n)) is None


def test_every_value_of_a_real_table_comes_back():
    X = load_wine().data
    grids = Grids.of([find_grid(x) for x in X.T])
    np.testing.assert_array_equal(grids.snapped(grids.steps(X)), X)
    assert grids.step.tolist()[:5] == [0.01, 0.01, 0.01, 0.1, 1.0]


def test_columns_without_a_grid_are_left_alone():
    X = np.column_stack([WHOLE / 4, NONE["normal"][:3000]])
    grids = Grids.of([find_grid(x) for x in X.T])
    for change in (grids.steps, grids.values, grids.snapped):
        np.testing.assert_array_equal(change(X)[:, 1], X[:, 1])
    X[:3] = [[0.25, 0.1], [0.3, np.nan], [np.nan, 0.1]]
    np.testing.assert_array_equal(grids.holds(X[:3])[:, 0], [True, False, True])
    assert grids.holds(X[:3])[:, 1].all()


def test_a_given_step():
    x = np.array([2.5, 7.5, 10.0])
    assert grid_of_step(x, 0.5) == Grid(0.5, 0.0, 1)
    assert grid_of_step(x, 2.0) is None
    assert grid_of_step(x + 0.1, 2.5).offset == pytest.approx(0.1)


def test_bounds_move_inwards_to_the_grid():
    grids = Grids.of([Grid(1, 0, 0), Grid(0.1, 0, 1), Grid(0.25, 0.2), None, Grid(0.01, 0, 2)])
    bounds = np.array([[0.5, 9.5], [0.3, 0.75], [-np.inf, 0.9], [0.55, np.pi], [-1e308, np.nan]])
    expected = [[1.0, 9.0], [0.3, 0.7], [-np.inf, pytest.approx(0.7)], [0.55, np.pi]]
    found = grids.inside(bounds)
    assert found[:4].tolist() == expected
    np.testing.assert_array_equal(found[4], bounds[4])


def test_values_beyond_limits_are_found_despite_rounding():
    grids = Grids.of([Grid(0.1, 0, 1), None])
    x = np.array([[3 * 0.1, 0.3], [0.4, np.nextafter(0.3, 1)], [-0.1, -1e-300], [np.nan, np.nan]])
    beyond = grids.beyond(x, np.array([[0.0, 0.3], [0.0, 0.3]]))
    assert beyond.tolist() == [[False, False], [True, True], [True, True], [False, False]]
    assert not grids.beyond(x, np.array([[np.nan, np.nan], [-np.inf, np.inf]])).any()


@pytest.mark.parametrize(("step", "decimals"), [(2.01, 2), (8.12, 2), (1e-7, 7), (200.0, 0)])
def test_decimals_of_a_given_step(step, decimals):
    assert grid_of_step(step * np.arange(5.0), step).decimals == decimals


def test_gaps_that_are_almost_multiples_end_the_search():
    # the gap is just beyond the error of ten steps, and within it once the step is fitted
    step, accuracy, error = 2.234432490884804e-08, 4.227e-11, 1.26811412532408e-10
    assert _parts(step, accuracy, 2.2371085531269763e-07, error) is None
    rng = np.random.default_rng(0)
    X = np.exp(
        rng.normal(size=(3000, 8)) @ rng.normal(size=(8, 1000)) / 2 + rng.normal(size=(3000, 1000))
    )
    assert find_grid(X[:, 785]) is None
