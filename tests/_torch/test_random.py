"""Seeds and draws of our own."""

import numpy as np
import pytest
import torch
from scipy import stats

from skvae._torch.random import derive, draw_bernoulli, generator_from, quasi_normal, seed_from

CPU = torch.device("cpu")


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, np.int64(7), np.uint32(7)])
def test_an_int_is_its_own_seed(seed):
    assert seed_from(seed) == seed
    assert type(seed_from(seed)) is int


def test_a_random_state_gives_its_next_draw():
    one, same = np.random.RandomState(0), np.random.RandomState(0)
    seeds = [seed_from(one), seed_from(one)]
    assert seeds == [seed_from(same), seed_from(same)]
    assert seeds[0] != seeds[1]


def test_none_gives_fresh_seeds():
    assert len({seed_from(None) for _ in range(20)}) == 20


@pytest.mark.parametrize("seed", ["a", 1.5, True, -1, 2**32, np.random.default_rng(0)], ids=str)
def test_invalid_random_states_are_refused(seed):
    with pytest.raises(ValueError, match=r"'random_state' must be a whole number .*; got "):
        seed_from(seed)


def test_derived_seeds_differ_by_seed_purpose_and_stage():
    cases = [
        (seed, purpose, stage)
        for seed in (0, 1, 2**32 - 1)
        for purpose in ("weights", "training", "split", "scoring")
        for stage in (0, 1, 200)
    ]
    seeds = [derive(*case) for case in cases]
    assert len(set(seeds)) == len(cases)
    assert seeds == [derive(*case) for case in cases]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(3, "weights") == derive(3, "weights", 0)


def test_streams_of_derived_seeds_are_uncorrelated():
    draws = [
        torch.randn(20_000, generator=generator_from(derive(seed, purpose), CPU))
        for seed in (0, 1)
        for purpose in ("weights", "training")
    ]
    off_diagonal = torch.corrcoef(torch.stack(draws)) - torch.eye(4)
    assert off_diagonal.abs().max() < 4.5 / np.sqrt(20_000)


def test_generator_repeats_its_draws():
    one, same, other = (torch.randn(5, generator=generator_from(s, CPU)) for s in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_bernoulli_draws_have_their_probabilities(dtype):
    p = torch.tensor([0.0, 1e-3, 0.1, 0.5, 0.9, 1.0], dtype=torch.float64).expand(200_001, 6)
    draws = draw_bernoulli(p, p.to(dtype), generator_from(0, CPU))
    assert draws.dtype == dtype
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    share = draws.double().mean(0)
    assert share[0] == 0
    assert share[-1] == 1
    error = (p[0] * (1 - p[0]) / len(p)).sqrt()
    assert ((share - p[0]).abs() <= 4 * error).all()


def test_bernoulli_draws_are_uncorrelated():
    # four of them come of the same bits
    draws = draw_bernoulli(0.3, torch.empty(100_000, 8), generator_from(0, CPU))
    off_diagonal = torch.corrcoef(draws.T) - torch.eye(8)
    assert off_diagonal.abs().max() < 4.5 / np.sqrt(len(draws))
    again = draw_bernoulli(0.3, torch.empty(100_000, 8), generator_from(0, CPU))
    assert torch.equal(draws, again)


@pytest.mark.parametrize("n_draws", [1, 2, 3, 100, 128])
@pytest.mark.parametrize("n_components", [1, 7, 300])
def test_quasi_normal_shape_and_repeat(n_draws, n_components):
    draws = quasi_normal(n_draws, n_components, 0)
    assert draws.shape == (n_draws, n_components)
    assert np.isfinite(draws).all()
    assert np.array_equal(draws, quasi_normal(n_draws, n_components, 0))
    assert not np.array_equal(draws, quasi_normal(n_draws, n_components, 1))


def test_quasi_normal_has_normal_moments():
    draws = quasi_normal(1024, 5, 0)
    # far nearer than the 0.03 of independent draws
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.005)
    np.testing.assert_allclose(np.cov(draws.T), np.eye(5), atol=0.02)
    for column in draws.T:
        assert stats.kstest(column, "norm").statistic < 0.003


@pytest.mark.parametrize("place", [0, 1, 5])
def test_every_quasi_normal_draw_is_normal(place):
    # over the seeds: an average over draws is unbiased
    draws = [quasi_normal(6, 2, seed)[place, 1] for seed in range(400)]
    assert stats.kstest(draws, "norm").pvalue > 1e-3


def test_quasi_normal_integrates_better_than_independent_draws():
    def error(draw):
        """Mean square error of E[exp((z_1 + z_2) / 2)] = exp(1/4)."""
        means = [np.exp(draw(seed).sum(axis=1) / 2).mean() for seed in range(30)]
        return np.mean((np.array(means) - np.exp(0.25)) ** 2)

    independent = error(lambda seed: np.random.default_rng(seed).standard_normal((128, 2)))
    assert error(lambda seed: quasi_normal(128, 2, seed)) < independent / 10
