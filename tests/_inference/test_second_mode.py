"""The search around a mode against densities whose modes are known."""

import math

import pytest
import torch
from densities import narrow

from skvae._inference.second_mode import second_mode

FIRST, SECOND = [-0.5, -3.5], [-1.5, -2.8]


def one_or_two(*log_shares):
    """log p of rows whose second mode has these log shares of the first, -inf for none."""
    log_share = torch.tensor(log_shares).double()
    n = len(log_shares)
    first, second = (narrow([mean] * n, -2.5) for mean in (FIRST, SECOND))

    def log_joint(z, rows):
        far = second[rows].log_prob(z) + log_share[rows]
        return torch.logaddexp(first[rows].log_prob(z), far)

    return first, log_joint


def test_a_second_mode_is_found_where_there_is_one():
    first, log_joint = one_or_two(0.3, -torch.inf, -2.0)
    found = second_mode(log_joint, first, first).mean
    expected = torch.tensor([SECOND, FIRST, SECOND]).double()
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_the_result_of_a_row_does_not_depend_on_the_others():
    shares = 0.3, -torch.inf, -2.0
    first, log_joint = one_or_two(*shares)
    together = second_mode(log_joint, first, first).mean
    for row, share in enumerate(shares):
        one, alone = one_or_two(share)
        assert torch.equal(second_mode(alone, one, one).mean[0], together[row])


@pytest.mark.parametrize(("log_share", "is_better"), [(-1.0, False), (1.0, True)])
def test_another_mode_is_replaced_by_a_higher_one(log_share, is_better):
    other = narrow([[0.8, -2.5]], -2.5)
    first, two = one_or_two(log_share)

    def log_joint(z, rows):
        return torch.logaddexp(two(z, rows), other[rows].log_prob(z) + math.log(0.9))

    found = second_mode(log_joint, first, other).mean
    expected = torch.tensor([SECOND]).double() if is_better else other.mean
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
