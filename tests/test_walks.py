"""Walks among codes, and the methods of VAETransformer that return them."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from skvae import VAETransformer
from skvae._walks import PATHS, arc, line

ENDS = np.random.default_rng(0).normal(size=(2, 20, 5))


@pytest.fixture(scope="module", params=["normal", "mixture"])
def model(request, wine):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
    return VAETransformer(3, prior=request.param, **settings).fit(wine)


@pytest.fixture(scope="module")
def plane(wine):
    return VAETransformer(2, hidden_layer_sizes=(8,), max_iter=3, random_state=0).fit(wine)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_paths_join_their_ends(path):
    found = path(*ENDS, 7)
    assert found.shape == (20, 7, 5)
    np.testing.assert_allclose(found[:, [0, -1]], ENDS.swapaxes(0, 1), atol=1e-12)


def test_arcs_of_a_sphere_stay_on_it_in_equal_angles():
    ends = 3 * ENDS / np.linalg.norm(ENDS, axis=-1, keepdims=True)
    found = arc(*ends, 7)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 3)
    cosines = np.sum(found[:, 1:] * found[:, :-1], axis=-1) / 9
    np.testing.assert_allclose(np.arccos(cosines), np.arccos(cosines[:, :1]) * np.ones(6))
    # each point lies in the plane of the ends
    planes = np.concatenate([found, ends.swapaxes(0, 1)], axis=1)
    assert (np.linalg.matrix_rank(planes) == 2).all()


def test_a_quarter_of_a_circle():
    found = arc(np.array([[1.0, 0]]), np.array([[0, 1.0]]), 4)
    angle = np.arange(4) * np.pi / 6
    np.testing.assert_allclose(
        found[0], np.column_stack([np.cos(angle), np.sin(angle)]), atol=1e-12
    )


@pytest.mark.parametrize(
    ("start", "stop"),
    [([1, 2], [2, 4]), ([1, 2], [-2, -4]), ([0, 0], [1, 2]), ([0, 0], [0, 0]), ([1, 2], [1, 2])],
    ids=["one direction", "opposite", "from 0", "both 0", "the same"],
)
def test_an_arc_that_is_not_unique_is_a_line(start, stop):
    ends = np.array([start]) / 1.0, np.array([stop]) / 1.0
    np.testing.assert_allclose(arc(*ends, 5), line(*ends, 5), atol=1e-12)


def test_nearly_equal_codes():
    start = np.array([[1.0, 2.0]])
    np.testing.assert_allclose(arc(start, start + 1e-9, 3), line(start, start + 1e-9, 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_interpolate(model, wine, dtype):
    codes = model.transform(wine[:4].astype(dtype))
    start, stop = codes[:2], codes[2:]
    lines = model.interpolate(start, stop)
    assert lines.dtype == dtype
    rtol = 1e-4 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(lines, np.linspace(start, stop, 10, axis=1), rtol=rtol, atol=rtol)
    np.testing.assert_array_equal(model.interpolate(start[0], stop[0]), lines[0])
    assert model.inverse_transform(lines[0]).shape == (10, 13)
    arcs = model.interpolate(start, stop, 5, method="spherical")
    scale = model.scale_  # the arcs are around 0 on the scale of the prior
    expected = arc(start / scale, stop / scale, 5) * scale
    np.testing.assert_allclose(arcs, expected, rtol=rtol, atol=rtol)


def test_interpolate_in_the_wider_dtype_of_both_ends(model, wine):
    codes = model.transform(wine[:2])
    narrow, wide = codes[0].astype(np.float32), codes[1].astype(np.float64)
    assert model.interpolate(narrow, wide).dtype == np.float64
    assert model.interpolate(wide, narrow).dtype == np.float64


def test_codes_of_a_data_frame(model, wine):
    codes = pd.DataFrame(model.transform(wine[:4]), columns=model.get_feature_names_out())
    found = model.interpolate(codes[:2], codes[2:])
    np.testing.assert_array_equal(found, model.interpolate(*codes.to_numpy().reshape(2, 2, 3)))
    with pytest.raises(ValueError, match="columns of B are those of transform in another order"):
        model.interpolate(codes[:2], codes[2:].iloc[:, ::-1])


def test_traverse_varies_one_component(model, wine):
    codes = model.transform(wine[:4])
    found = model.traverse(wine[:4], 1, 5, extent=2)
    np.testing.assert_allclose(found[..., 1] / model.scale_[1], [[-2, -1, 0, 1, 2]] * 4, atol=1e-12)
    for component in (0, 2):
        np.testing.assert_array_equal(found[..., component], codes[:, [component] * 5])


@pytest.mark.parametrize("spacing", ["linear", "percentile"])
def test_grid(plane, spacing):
    found = plane.grid(4, spacing=spacing, extent=3) / plane.scale_
    expected = [-3, -1, 1, 3] if spacing == "linear" else norm.ppf([0.125, 0.375, 0.625, 0.875])
    for i in range(4):
        np.testing.assert_allclose(found[i, :, 0], expected)
        np.testing.assert_allclose(found[:, i, 1], expected)


@pytest.mark.parametrize(
    ("walk", "match"),
    [
        (lambda m, Z: m.interpolate(Z, Z[:1]), r"'B' must .* got shapes \(1, 2\) and \(4, 2\)"),
        (lambda m, Z: m.interpolate(Z[0], Z), "Expected 2D array for A, a row of codes"),
        (lambda m, Z: m.interpolate(Z, Z[:, :1]), "B must .* has 1 columns, but .* n_components=2"),
        (lambda m, Z: m.interpolate(Z * np.nan, Z), "Input A contains NaN"),
        (lambda m, Z: m.interpolate(Z, Z, 1), "'n_steps' must be a whole number from 2 to 10000"),
        (lambda m, Z: m.interpolate(Z, Z, method=0), "'method' .* 'linear', 'spherical'; got 0"),
        (lambda m, Z: m.traverse(Z, 2), "'component' must be a whole number from 0 to 1; got 2"),
        (lambda m, Z: m.traverse(Z, 0, extent=0), "'extent' must be a finite number in"),
        (lambda m, Z: m.grid(1), "'n_steps' must be a whole number from 2 to 10000; got 1"),
        (lambda m, Z: m.grid(spacing="log"), "'spacing' must be one of 'linear', 'percentile'"),
    ],
)  # fmt: skip
def test_walks_are_checked(plane, walk, match):
    with pytest.raises(ValueError, match=match):
        walk(plane, np.zeros((4, 2)))


def test_a_grid_has_two_components(model):
    with pytest.raises(ValueError, match=r"needs a model with two components; .*n_components=3"):
        model.grid()


def test_codes_from_the_prior_are_those_of_sampled_rows(model):
    codes = model.sample_codes(2000, random_state=0)
    assert codes.shape == (2000, 3)
    np.testing.assert_array_equal(codes, model.sample_codes(2000, random_state=0))
    assert (codes[:5] != model.sample_codes(5)).all()
    # the noise of rows has mean 0, so they are as close to the means as any rows are
    rows, means = model.sample(2000, random_state=0), model.inverse_transform(codes)
    noise = rows - means
    others = rows - np.roll(means, 1, axis=0)
    assert (noise.var(axis=0) < others.var(axis=0)).all()
    with pytest.raises(ValueError, match=r"'n_samples' must be .* got 0"):
        model.sample_codes(0)
