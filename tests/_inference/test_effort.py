"""How many draws a row takes."""

import torch

from skvae._inference.effort import Effort


def test_each_stage_doubles_the_draws_of_each_proposal():
    effort = Effort(64, 512, 0.1)
    noise = torch.arange(effort.n_noise)[:, None, None]
    spare, own = effort.split(noise)
    assert (len(spare), len(own)) == (512, 512)
    stages = list(effort.stages(own, has_gaps=True))
    assert [[len(part) for part in stage] for stage in stages] == [
        4 * [16],
        4 * [16],
        4 * [32],
        4 * [64],
    ]
    # the noise of a stage is contiguous, and all noise is used once
    used = torch.cat([part for stage in stages for part in stage])[:, 0, 0]
    assert torch.equal(used, torch.arange(512, 1024))


def test_complete_rows_start_with_fewer_draws():
    effort = Effort.of_score(2, None, 0.1)
    noise = torch.zeros(512, 1, 2)
    for has_gaps, n_first, n_stages in ((False, 8, 5), (True, 16, 4)):
        stages = list(effort.stages(noise, has_gaps=has_gaps))
        assert ([len(part) for part in stages[0]], len(stages)) == (4 * [n_first], n_stages)
        assert sum(len(part) for stage in stages for part in stage) == 512


def test_a_number_of_draws_that_is_no_multiple_is_divided_evenly():
    stages = list(Effort(18, 18, 0.1).stages(torch.zeros(18, 1, 2), has_gaps=False))
    assert [[len(part) for part in stage] for stage in stages] == [[5, 5, 4, 4]]


def test_few_draws_are_from_the_posterior_alone():
    few, more = Effort(15, 15, 0.1), Effort(16, 16, 0.1)
    assert (few.is_small, few.n_noise) == (True, 15)
    assert (more.is_small, more.n_noise) == (False, 16 + 256)


def test_the_most_draws_follow_from_the_standard_error():
    assert Effort.of_score(2, None, 0.1) == Effort(64, 512, 0.1, first_of_complete=32)
    assert Effort.of_score(16, None, 0.1) == Effort(128, 512, 0.1)
    assert Effort.of_score(2, None, 0.3) == Effort(64, 64, 0.3, first_of_complete=32)
    assert Effort.of_score(16, None, 0.3) == Effort(128, 128, 0.3)
    assert Effort.of_score(2, None, 10.0) == Effort(64, 64, 10.0, first_of_complete=32)
    assert Effort.of_score(2, None, 0.001) == Effort(64, 2**14, 0.001, first_of_complete=32)
    assert Effort.of_score(2, 100, 0.1) == Effort(100, 100, 0.0)


def test_many_conditional_draws_take_many_codes():
    assert Effort.of_draws(1) == Effort.of_mean() == Effort(128, 512, 0.1, looks_around=True)
    assert Effort.of_draws(100).error == 0.1
    assert Effort.of_draws(400) == Effort(2048, 2048, 0.05, looks_around=True)
    assert Effort.of_draws(10**5)[:2] == (2**12, 2**12)
