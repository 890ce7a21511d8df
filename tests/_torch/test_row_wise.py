"""Networks in float32: the same bits for a row whatever the other rows."""

import pytest
import torch
from torch.nn import functional as F

import skvae._torch.row_wise
from skvae._torch.row_wise import affine, is_exact, is_row_wise, linear_map, with_padded_rows


def normal(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(len(shape)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 20), (40, 20, 2), (40, 20, 30), (0, 3, 4)])
def test_affine_is_its_formula(shape, dtype):
    n, n_inputs, n_outputs = shape
    x, weight = normal(n, n_inputs, dtype=dtype), normal(n_outputs, n_inputs, dtype=dtype)
    bias = normal(n_outputs, dtype=dtype)
    torch.testing.assert_close(affine(x, weight, bias), x @ weight.T + bias)
    torch.testing.assert_close(linear_map(x, weight), x @ weight.T)


def test_further_rows_are_removed():
    x = normal(15, 2)
    n_rows = []

    def network(rows):
        n_rows.append(len(rows))
        return rows[:, :1]

    assert torch.equal(with_padded_rows(network, x, 64), x[:, :1])
    assert torch.equal(with_padded_rows(network, x, 64, 5), x[:, :1])
    assert torch.equal(with_padded_rows(network, x.double(), 5), x[:, :1].double())
    assert n_rows == [16, 32, 15]


@pytest.mark.skipif(not is_row_wise(), reason="products here depend on the other rows")
@pytest.mark.parametrize("n_outputs", [1, 10, 40])
@pytest.mark.parametrize("n_inputs", [1, 6, 128])
def test_a_row_and_its_gradient_do_not_depend_on_other_rows(n_inputs, n_outputs):
    first, last = normal(7, n_inputs), normal(n_outputs, 7)

    def network(rows):
        return linear_map(F.silu(affine(rows, first, normal(7))), last)

    def both(x):
        x = x.clone().requires_grad_()
        found = with_padded_rows(network, x, 7)
        return found.detach(), torch.autograd.grad(found.square().sum(), x)[0]

    x = normal(500, n_inputs)
    whole = both(x)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    for n in (500, 203, 37, 19, 3, 1):
        for part, of_all in zip(both(x[order[:n]]), whole, strict=True):
            assert torch.equal(part, of_all[order[:n]])


def test_a_library_whose_sums_depend_on_the_place_of_a_row_is_found(monkeypatch):
    true = F.linear

    def by_place(x, weight):
        return true(x, weight) + 1e-6 * torch.arange(len(x)).unsqueeze(-1)

    monkeypatch.setattr(skvae._torch.row_wise.F, "linear", by_place)
    assert not is_row_wise.__wrapped__()


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="known of MKL only")
def test_products_of_mkl_depend_only_on_their_row():
    assert is_row_wise()


def in_tf32(x):
    """The numbers (n, p) or (n, c, h, w) with 10 binary digits."""
    return (x.view(torch.int32) & ~0x1FFF).view(torch.float32) if x.dtype == torch.float32 else x


@pytest.mark.parametrize("name", ["linear", "conv2d"])
@pytest.mark.parametrize("rounded", [in_tf32, lambda x: x.bfloat16().to(x.dtype)])
def test_products_in_another_precision_are_found(monkeypatch, name, rounded):
    assert is_exact()
    true = getattr(F, name)

    def short(x, weight):
        # torch computes smaller products in float32 in any case
        is_large = x.dtype == torch.float32 and x[0].numel() * len(x) * len(weight) > 16**3
        return true(rounded(x) if is_large else x, weight)

    monkeypatch.setattr(skvae._torch.row_wise.F, name, short)
    assert not is_exact()


def test_products_that_add_in_another_order_are_exact(monkeypatch):
    true = F.linear
    monkeypatch.setattr(
        skvae._torch.row_wise.F, "linear", lambda x, weight: true(x.flip(-1), weight.flip(-1))
    )
    assert is_exact()


def test_default_types_of_the_caller_do_not_matter():
    expected = is_row_wise()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        assert is_row_wise.__wrapped__() == expected
        assert is_exact()
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(before)
