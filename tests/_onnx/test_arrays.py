"""What numpy computes of tensors is what it computes of arrays."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logit, ndtr, ndtri

from skvae._onnx import arrays
from skvae._onnx.arrays import CannotRecord, as_tensor, recorded

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3))
U = RNG.random((50, 3))
TABLE = np.sort(RNG.normal(size=200))
REPEATED = np.sort(RNG.integers(0, 20, 60) / 4)
FUNCTIONS = {
    "arithmetic": lambda x: (2.5 - x) / (1 + abs(x)) ** 2 * -x + np.array([0.1, 0.2, 0.3]),
    "in place": lambda x: _added(x),
    "elementary": lambda x: np.log1p(np.exp(x)) + np.sqrt(np.square(x)) - np.expm1(-np.abs(x)),
    "rounding": lambda x: np.rint(4 * x) + np.floor(x) - np.ceil(x),
    "logic": lambda x: np.where((x > 0) & ~(x >= 1) | (x == X[0]), x, np.nan),
    "extremes": lambda x: np.minimum(np.maximum(x, -0.5), [1.0, 0.5, 0.1]),
    "clip": lambda x: x.clip(-1) + np.clip(x, -0.5, [1.0, 0.5, 0.1]) + x.clip(max=0.0),
    "searchsorted": lambda x: np.searchsorted(TABLE, x) - np.searchsorted(TABLE, x, side="right"),
    "take_along_axis": lambda x: np.take_along_axis(X, (x > 0).astype(np.intp), axis=0),
    "stack": lambda x: np.stack([2 * column for column in x.T], axis=1),
    "zeros_like": lambda x: np.zeros_like(x) + np.zeros_like(x, dtype=bool),
    "index": lambda x: x[:, [2, 0]] - x[:, 1][:, None],
    "finite": lambda x: np.isfinite(x / 0.0) | np.isnan(x) | np.isinf(x),
}


def _added(x):
    total = 2 * x
    total += 1.0
    total -= x
    return total


def of_tensors(function, x):
    return as_tensor(function(recorded(torch.from_numpy(x)))).numpy()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_functions_are_those_of_numpy(name):
    found, expected = of_tensors(FUNCTIONS[name], X), FUNCTIONS[name](X)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ufunc", [expit, logit, ndtr, ndtri])
def test_functions_of_probabilities(ufunc):
    np.testing.assert_allclose(of_tensors(ufunc, U), ufunc(U), rtol=3e-7)


@pytest.mark.parametrize("longest", [10, 1000])  # by bisection, and by comparison with all
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("table", [TABLE, REPEATED, TABLE[:1], TABLE[:0]])
def test_a_search_finds_equal_values_too(table, side, longest, monkeypatch):
    monkeypatch.setattr(arrays, "LONG", longest)
    x = np.r_[table, table - 1e-9, table + 1e-9, -np.inf, np.inf]
    found = of_tensors(lambda x: np.searchsorted(table, x, side=side), x)
    np.testing.assert_array_equal(found, np.searchsorted(table, x, side=side))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: np.interp(x, TABLE, TABLE), r"calls numpy\.interp"),
        (lambda x: np.spacing(x), "calls spacing"),
        (lambda x: np.add.reduce(x), r"calls numpy\.add\.reduce"),
        (lambda x: np.add(x, 1, dtype=np.float32), "calls numpy.add with dtype"),
        (lambda x: x if (x > 0) else -x, "branches on values"),
        (lambda x: np.empty(len(x)), "number of rows"),
        (lambda x: np.asarray(x), "reads values"),
    ],
)
def test_what_a_trace_does_not_record_is_an_error(function, reason):
    with pytest.raises(CannotRecord, match=reason):
        of_tensors(function, X)
