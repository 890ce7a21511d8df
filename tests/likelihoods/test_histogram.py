"""Histogram density."""

import numpy as np
import pytest
import torch
from cases import CASES, FEW, FORMS, HOURS, MIXTURE, RNG, SPIKED, fit, start
from scipy import stats

from skvae.likelihoods import (
    Histogram,
)


def levels_of(constants):
    """Atoms, and number of bins, of the first column."""
    low, high = constants["low"][0], constants["high"][0]
    return low[low == high].tolist(), int((low < high).sum())


HISTOGRAMS = [  # a column, its atoms, its number of bins (with both tails)
    (MIXTURE, [], 30),
    (SPIKED, [0.0, 1.25], 18),
    (FEW, [0.0, 1.0, 2.0, 5.0, 9.0], 3),
    (np.repeat(np.arange(5.0), 40), [0.0, 1.0, 2.0, 3.0, 4.0], 2),
    (np.repeat([0.1, 0.2, 0.7], 40), [0.1, 0.2, 0.7], 4),
    (RNG.normal(size=59), [], 3),
    (np.full(30, 0.1), [0.1], 4),
    (np.ones(30), [1.0], 2),
]


@pytest.mark.parametrize(("column", "atoms", "n_bins"), HISTOGRAMS)
def test_atoms_and_bins(column, atoms, n_bins):
    found = levels_of(fit(Histogram(), column[:, None]))
    assert found[0] == atoms
    assert abs(found[1] - n_bins) <= (n_bins > 3)


def test_a_common_value_is_an_atom_and_a_rare_one_is_not():
    column = np.r_[MIXTURE, MIXTURE[:400] + 0.1, np.full(8, 0.5), np.full(7, -0.5)][:, None]
    assert levels_of(fit(Histogram(), column))[0] == [0.5]
    assert levels_of(fit(Histogram(n_bins=50), column))[0] == []
    # a row that weighs as much as 50 is as good as 50 copies
    assert levels_of(Histogram().fit(column[:1001], np.r_[np.ones(1000), 50.0]))[0] != []


def test_a_value_of_few_rows_is_an_atom_only_among_rarer_values():
    sevens = np.full(7, 50.0)
    among_single_rows = np.r_[np.arange(0.0, 293.0), sevens]
    assert levels_of(fit(Histogram(), among_single_rows[:, None]))[0] == [50.0]
    # a value of many rows beside it changes nothing
    beside_many = np.r_[among_single_rows, np.full(40, 51.0)]
    assert levels_of(fit(Histogram(), beside_many[:, None]))[0] == [50.0, 51.0]
    # each of 100 values has 3 rows, but this one has 10
    among_equals = np.r_[np.arange(300.0) % 100, sevens]
    assert levels_of(fit(Histogram(), among_equals[:, None]))[0] == []
    # 13 values of 20 rows each are atoms, whatever the rounding of 20 / n
    for n in (303, 304):
        values = np.r_[np.repeat(np.arange(13.0), 20), np.arange(20.0, 20.0 + n - 260)]
        assert len(levels_of(fit(Histogram(), values[:, None]))[0]) == 13
    # all have 7
    assert levels_of(fit(Histogram(), np.repeat(np.arange(50.0), 7)[:, None]))[0] == []


@pytest.mark.parametrize("column", [np.abs(MIXTURE), np.floor(np.abs(40 * MIXTURE))])
def test_negative_numbers_are_unlikely_without_negative_training_values(column):
    case = start(Histogram(), column[:, None])
    x = np.array([[-3.0], [-1.0], [0.0], [1.0]])
    log_density = case.log_density(x)[:, 0]
    assert np.isfinite(log_density).all()
    assert log_density[:2].max() < log_density[2:].min()


def test_draws_stay_within_the_range_of_training():
    draws = CASES["histogram"].sample(20_000)  # likelier in the tails than training rows
    assert (draws >= FORMS.min(axis=0)).all()
    assert (draws <= FORMS.max(axis=0)).all()


def test_means_stay_within_the_range_of_training():
    years = np.repeat([2007.0, 2008.0, 2009.0], 40)[:, None]
    case = start(Histogram(), years)
    # half a row counts for each of the empty bins, of the years before and after these
    assert abs(case.mean()[0] - 2008) < 0.01


def test_draws_of_a_tail_are_exponential_up_to_the_end_of_training():
    constants = fit(Histogram(), MIXTURE[:, None])
    last = (constants["low"] < constants["high"]).sum() - 1
    u = np.arange(0.05, 1.0, 0.1)
    (scale,), (reach,) = constants["scale"][:, 1], constants["reach"][:, 1]
    edge = constants["low"][0, last]
    assert edge + reach == MIXTURE.max()
    draws = Histogram().from_working(last + u[:, None], constants)[:, 0]
    np.testing.assert_allclose(stats.truncexpon(reach / scale, edge, scale).cdf(draws), u)


def test_further_rows_widen_the_range():
    constants = fit(Histogram(), FORMS)
    x = np.array([[-50.0, 0.5, np.nan, 200.0]])
    wider = Histogram().update_constants(x, constants)
    ends = constants["limits"].copy()
    ends[0, 0], ends[3, 1] = -50.0, 200.0
    np.testing.assert_array_equal(wider["limits"], ends)
    levels = np.full((1, 4), 0.9999)  # far out in the lower tails
    assert Histogram().from_working(levels, wider)[0, 0] < FORMS[:, 0].min()


def test_initial_masses_are_the_shares_of_the_bins():
    case = start(Histogram(), MIXTURE[:, None])
    edges = case.constants["low"][0][1:]
    middle = 0.5 * (edges[1:] + edges[:-1])
    expected, _ = np.histogram(MIXTURE, edges)
    found = np.exp(case.log_density(middle[:, None])[:, 0]) * np.diff(edges) * len(MIXTURE)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("value", [1.0, 1e17, -1e300])
def test_a_single_whole_number_has_a_mass(value):
    case = start(Histogram(), np.array([[value]]))
    assert case.log_density(case.table)[0, 0] < 0


def test_whole_numbers_stay_whole():
    whole = fit(Histogram(), HOURS[:, None])
    broken = fit(Histogram(), np.r_[HOURS, 0.5][:, None])
    x = np.array([[-3.0], [0.5], [7.0], [np.nan]])
    assert Histogram().in_support(x, whole)[:, 0].tolist() == [True, False, True, False]
    assert Histogram().in_support(x, broken)[:, 0].tolist() == [True, True, True, False]


def test_values_that_training_did_not_hold_have_a_density():
    case = start(Histogram(), FORMS)
    x = np.repeat([[-50.0], [3.0], [4.0], [1000.0]], 4, axis=1)
    assert np.isfinite(case.log_density(x)).all()


TINY = np.arange(40) * 5e-324


@pytest.mark.parametrize("column", [TINY[:2], TINY, np.r_[TINY, np.linspace(1, 1e300, 160)]])
def test_tiny_distances_and_tails_do_not_overflow(column):
    case = start(Histogram(), column[:, None])
    assert np.isfinite(case.log_density(np.array([[-1.0], [0.0], [5e-324], [1.0]]))).all()
    assert np.isfinite(case.sample(1000)).all()


@pytest.mark.parametrize(
    "params", [{"n_bins": 2}, {"n_bins": 1001}, {"n_bins": 9.0}, {"rows_per_bin": 0}], ids=str
)
def test_invalid_bins(params):
    (name,) = params
    with pytest.raises(ValueError, match=rf"'{name}' of Histogram must be .*; got"):
        Histogram(**params).check()


def test_the_most_levels_survive_single_precision():
    column = np.r_[np.repeat(np.arange(500.0), 40), np.arange(0, 20_000) + 0.5]
    likelihood = Histogram(n_bins=1000)
    constants = fit(likelihood, column[:, None])
    parameters = likelihood.parameters(constants)
    n_levels = likelihood.n_levels(constants)
    assert n_levels > 1400
    outputs = torch.full((1, 20_000, 1 + n_levels), -1e4)  # a location, and the logits
    outputs[..., 0] = 0.0
    outputs[..., -1] = outputs[..., n_levels - 500] = 1e4
    draws = likelihood.sample(outputs, parameters, torch.Generator().manual_seed(0))[0]
    assert set(draws.floor().unique().tolist()) == {n_levels - 1.0, n_levels - 501.0}


def test_locations_clip_values_at_three_standard_deviations():
    x = np.random.default_rng(0).normal(size=1000)
    far, near = (np.r_[x, largest][:, None] for largest in (1e6, 100.0))
    highest = []
    for column in (far, near):
        likelihood = Histogram()
        constants = likelihood.fit(column, np.ones(1001))
        parameters = likelihood.parameters(constants)
        working = torch.from_numpy(likelihood.to_working(column, constants))
        location = likelihood.location(working, parameters)[:, 0]
        assert (np.diff(location[column[:, 0].argsort()].numpy()) >= 0).all()
        highest.append(float(location[-1]))
    assert highest[0] == pytest.approx(highest[1], rel=0.2)
    assert highest[0] < 6


def test_the_unit_of_a_spike_is_a_mass_and_that_of_other_whole_numbers_their_spread():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(4000) < 0.4, 0.0, np.rint(rng.lognormal(6, 0.5, 4000)))[:, None]
    constants = Histogram().fit(x, np.ones(len(x)))
    log_unit = Histogram().log_unit(np.array([[0.0], [300.0], [401.0], [5000.0]]), constants)
    np.testing.assert_allclose(log_unit[:, 0], [0.0] + 3 * [np.log(x.std())])
