"""log p(x) and log p(x, z) where floating point ends."""

from types import SimpleNamespace

import pytest
import torch
from densities import quasi

from skvae._inference.effort import Effort
from skvae._inference.scores import log_joint, log_likelihood
from skvae._model.cells import Cells
from skvae.priors._modules import StandardNormal

PRIOR = StandardNormal(2).double()


def model(log_prob):
    """Whose codes say nothing of a row: p(x|z) is ``log_prob`` of its value and of z."""
    return SimpleNamespace(
        encode=lambda cells: 2 * [torch.zeros(len(cells), 2).double()],
        decode=lambda z, context: [z],
        log_prob=lambda cells, outputs: log_prob(cells.values[:, 0], outputs[0]),
        log_prior=lambda z, context: PRIOR.log_prob(z),
        prior=PRIOR,
        width=2,
        code_bytes=16,
    )


def cells(*values):
    return Cells(torch.tensor(values).double().unsqueeze(-1), None)


def undefined_far_out(x, z):
    return torch.where(z[..., 0] > 1, torch.nan, x.expand(z.shape[:-1]))


def test_a_density_that_is_no_number_counts_as_0():
    z = torch.tensor([[[0.0, 0.0]], [[2.0, 0.0]]]).double()
    found = log_joint(model(undefined_far_out), cells(-3.0))(z, torch.tensor([0]))
    assert found[0].item() == pytest.approx(-3.0 + PRIOR.log_prob(z)[0].item())
    assert found[1].item() == -torch.inf


@pytest.mark.parametrize("n_draws", [8, 256])
def test_the_bound_only_falls_by_draws_that_are_no_numbers(n_draws):
    rows, effort = cells(-3.0, -5.0), Effort(n_draws, n_draws, 0.1)
    found = log_likelihood(model(undefined_far_out), rows, quasi(effort.n_noise, 2), effort=effort)
    less = torch.distributions.Normal(0, 1).cdf(torch.tensor(1.0)).log().item()
    torch.testing.assert_close(found, torch.tensor([-3.0, -5.0]).double() + less, atol=0.1, rtol=0)


def test_rows_of_density_0_differ_from_rows_of_undefined_density():
    effort = Effort(32, 32, 0.1)
    found = log_likelihood(
        model(lambda x, z: x.expand(z.shape[:-1])),
        cells(-1.0, -torch.inf, torch.nan),
        quasi(effort.n_noise, 2),
        effort=effort,
    )
    assert found[0].item() == pytest.approx(-1.0, abs=0.1)
    assert found[1].item() == -torch.inf
    assert found[2].isnan()
