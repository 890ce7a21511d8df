"""The kernels beside torch's operations, and when they are taken."""

import sys
import threading

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skvae import VAETransformer
from skvae._torch import fused as _fused
from skvae._torch.activations import ACTIVATIONS
from skvae._torch.fused import fused, kernels
from skvae._torch.operations import adam
from skvae._torch.runtime import LARGE_WORK, torch_runtime
from skvae.likelihoods import Bernoulli

pytest.importorskip("numba")
try:
    from skvae._torch import kernels as _kernels
except NotImplementedError as error:
    pytest.skip(str(error), allow_module_level=True)

DTYPES = [torch.float32, torch.bfloat16]
# a share of several threads, whole registers and what is left; and less than any of them
SIZES = [0, 1, 130, 5003]
THREADS = [1, 2, 3]


@pytest.fixture(params=THREADS)
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(found, expected, dtype=torch.float32):
    """To the last digits of the type."""
    digit = torch.finfo(dtype).eps
    torch.testing.assert_close(found, expected, rtol=2 * digit, atol=digit, equal_nan=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_elu_and_its_gradient(dtype, size, n_threads):
    x = (3 * normal(size)).to(dtype)
    result = _kernels.elu_(x.clone())
    close(result, F.elu(x), dtype)
    gradient = normal(size, seed=1).to(dtype)
    expected = torch.where(result < 0, gradient * (result + 1), gradient)
    close(_kernels.elu_backward_(gradient.clone(), result), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_elu_at_its_ends(dtype):
    inf, nan = torch.inf, torch.nan
    x = torch.tensor([-inf, -1e30, -100, -1e-30, -0.0, 0, 1e-30, 1e30, inf, nan]).to(dtype)
    close(_kernels.elu_(x.clone()), F.elu(x), dtype)
    assert _kernels.elu_backward_(torch.full_like(x, nan), x.clone()).isnan().all()


def test_rounding_to_bfloat16_is_that_of_torch():
    x = torch.arange(2**16, dtype=torch.int32).mul_(37_199).view(torch.float32)
    x = x[x > 0]  # which ELU leaves alone
    values, zeros = torch.zeros(len(x)), [torch.zeros(len(x)) for _ in range(2)]
    copy, none = torch.empty(len(x), dtype=torch.bfloat16), torch.zeros(len(x)).bfloat16()
    values.copy_(x)
    settings = {"decay": 0.0, "clip": 1.0, "betas": (0.9, 0.999), "n_steps": 1.0, "rate": 0.0}
    _kernels.adam(values, none, *zeros, copy, **settings, eps=1e-8)
    assert torch.equal(copy, x.bfloat16())


@pytest.mark.parametrize("n_draws", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gradient_of_bernoulli_masses(dtype, n_draws, n_threads):
    x, logits = (normal(50, 7) > 0).float(), 4 * normal(n_draws, 50, 7, seed=1).to(dtype)
    logits[0, 0, :2] = torch.tensor([1000.0, -1000.0])
    gradient = normal(n_draws, 50, seed=2)
    expected = (x - torch.sigmoid(logits.float())) * gradient.unsqueeze(-1)
    close(_kernels.bernoulli_gradient(x, logits, gradient), expected.to(dtype), dtype)


def test_draws_have_their_probabilities(n_threads):
    levels = torch.tensor([0.0, 2**-16, 0.1, 0.5, 1 - 2**-16, 1.0])
    p = levels.repeat(200_000, 1)
    draws = _kernels.draw_bernoulli(p, seed=-5)
    assert torch.isin(draws, torch.tensor([0.0, 1.0])).all()
    error = draws.mean(0) - levels
    assert (error.abs() <= 5 * (levels * (1 - levels) / len(p)).sqrt()).all()
    # neighbours, of one hash and of two, do not hang together, nor do draws of other seeds
    centred = draws[:, 2:4].flatten() - p[:, 2:4].flatten()
    others = _kernels.draw_bernoulli(p, seed=-4)[:, 2:4].flatten() - p[:, 2:4].flatten()
    for one, other in [(centred[lag:], centred[:-lag]) for lag in range(1, 9)] + [
        (centred, others)
    ]:
        product = one * other
        assert abs(product.mean()) < 5 * product.std() / len(product) ** 0.5


def test_draws_do_not_depend_on_threads(n_threads):
    p = torch.rand(777, 13, generator=torch.Generator().manual_seed(0))
    draws = _kernels.draw_bernoulli(p, seed=1)
    torch.set_num_threads(1)
    assert torch.equal(_kernels.draw_bernoulli(p, seed=1), draws)


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_step_of_adam(dtype, size, n_threads):
    decay, clip, rate, betas, eps = 0.01, 0.5, 0.1, (0.9, 0.99), 1e-8
    values = normal(size)
    moments = [torch.zeros(size), torch.zeros(size)]
    copy = values.to(dtype) if dtype == torch.bfloat16 else None
    ours = [values.clone(), *(moment.clone() for moment in moments)]
    taken = torch.zeros(())
    for n_steps in range(1, 4):
        gradient = normal(size, seed=n_steps).to(dtype)
        taken += 1
        decayed = (gradient.float() + decay * values).clamp(-clip, clip)
        adam(values, decayed, *moments, taken, rate=rate, betas=betas, eps=eps)
        _kernels.adam(
            ours[0], gradient, *ours[1:], copy,
            decay=decay, clip=clip, betas=betas, n_steps=n_steps, rate=rate, eps=eps,
        )  # fmt: skip
    for one, other in zip(ours, [values, *moments], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    if copy is not None:
        assert torch.equal(copy, ours[0].to(dtype))


def test_a_gradient_of_nan_makes_the_weights_nan():
    vectors = [torch.zeros(100) for _ in range(3)]
    gradient = torch.full((100,), torch.nan)
    settings = {"decay": 0.0, "clip": 1.0, "betas": (0.9, 0.999), "n_steps": 1.0, "rate": 0.1}
    _kernels.adam(vectors[0], gradient, *vectors[1:], None, **settings, eps=1e-8)
    assert vectors[0].isnan().all()


# -- when they are taken ------------------------------------------------------------


def test_kernels_are_those_of_the_calling_thread_and_of_large_work():
    assert kernels() is None
    found = []
    with torch_runtime(torch.device("cpu"), work=LARGE_WORK):
        assert kernels() is _kernels
        other = threading.Thread(target=lambda: found.append(kernels()))
        other.start()
        other.join()
        with torch_runtime(torch.device("cpu")):
            assert kernels() is None
        assert kernels() is _kernels
    assert kernels() is None
    assert found == [None]


@pytest.fixture
def kernels_fail(monkeypatch):
    """Sets with what error the kernels are imported."""

    def fail(error):
        class Broken:
            def find_spec(self, name, path, target=None):
                if name == "skvae._torch.kernels":
                    raise error

        monkeypatch.delitem(sys.modules, "skvae._torch.kernels")
        monkeypatch.delattr("skvae._torch.kernels")
        monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])

    _fused.load_kernels.cache_clear()
    yield fail
    _fused.load_kernels.cache_clear()


def test_kernels_are_not_used_without_numba(monkeypatch, kernels_fail):
    monkeypatch.setattr(_fused, "find_spec", lambda name: None)
    with fused(True):
        assert kernels() is None


def test_kernels_are_not_used_without_their_openmp(kernels_fail):
    kernels_fail(NotImplementedError("The OpenMP of this torch has no GOMP_parallel."))
    with fused(True):
        assert kernels() is None


@pytest.mark.parametrize(
    "error", [EOFError("Ran out of input"), ImportError("Numba needs NumPy 2.3 or less")], ids=str
)
def test_kernels_that_fail_to_load_warn_and_are_not_used(kernels_fail, error):
    kernels_fail(error)
    with pytest.warns(UserWarning, match=rf"{error}.*NUMBA_CACHE_DIR"), fused(True):
        assert kernels() is None


def test_a_kernel_refuses_what_it_cannot_read():
    with fused(True), pytest.raises(ValueError, match="contiguous tensors on the CPU"):
        kernels().elu_(torch.zeros(4, 4).t()[1:])


def test_torch_handles_logits_of_other_types():
    x, logits = (normal(5, 3) > 0).float(), normal(1, 5, 3, seed=1)
    gradient = torch.ones(1, 5, 1).expand(1, 5, 3)
    for other in (logits.half(), logits.double()):
        with fused(True):
            found = Bernoulli().vjp(x, other, {})[1](gradient)
        torch.testing.assert_close(found, x - torch.sigmoid(logits), rtol=0, atol=1e-3)


def test_autograd_records_an_activation_despite_kernels():
    x = normal(5).requires_grad_()
    with fused(True):
        ACTIVATIONS["elu"].overwrite(2 * x).sum().backward()
    close(x.grad, torch.where(x < 0, 2 * (2 * x).exp(), 2.0))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_fit_is_that_of_torch(monkeypatch, precision, gaps):
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(4096, 2))  # of fewer rows a fit differs from draw to draw
    X = 1 / (1 + np.exp(-3 * codes @ rng.normal(size=(2, 12))))
    if gaps:
        X[rng.random(X.shape) < 0.1] = np.nan
    scores = []
    for large in (1, 10**18):
        monkeypatch.setattr("skvae._torch.runtime.LARGE_WORK", large)
        vae = VAETransformer(
            2, hidden_layer_sizes=(40, 40), activation="elu", alpha=0.1, precision=precision,
            likelihood=Bernoulli(binarize=True), max_iter=30, random_state=0,
        ).fit(X)  # fmt: skip
        scores.append(vae.elbo(np.round(X), n_draws=64).mean())
    assert scores[0] == pytest.approx(scores[1], abs=0.1)


@pytest.mark.filterwarnings("ignore:Posterior collapse")  # of independent columns
def test_a_fit_by_kernels_repeats_itself(monkeypatch, n_threads):
    monkeypatch.setattr("skvae._torch.runtime.LARGE_WORK", 1)
    X = np.random.default_rng(0).random((200, 6))
    settings = {"activation": "elu", "likelihood": Bernoulli(binarize=True), "max_iter": 2}
    one, other = (VAETransformer(2, **settings, random_state=0).fit(X) for _ in range(2))
    assert one.loss_curve_ == other.loss_curve_
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            within = VAETransformer(2, **settings, random_state=0).fit(X)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(within.transform(X), one.transform(X))


@pytest.mark.filterwarnings("ignore:Posterior collapse")  # after a single epoch
def test_training_takes_every_kernel(monkeypatch):
    taken = set()
    for name in ("elu_", "elu_backward_", "draw_bernoulli", "bernoulli_gradient", "adam"):
        call = getattr(_kernels, name)

        def watched(*args, call=call, name=name, **kwargs):
            taken.add(name)
            return call(*args, **kwargs)

        monkeypatch.setattr(_kernels, name, watched)
    monkeypatch.setattr("skvae._torch.runtime.LARGE_WORK", 1)
    X = np.random.default_rng(0).random((64, 6))
    VAETransformer(
        2, activation="elu", likelihood=Bernoulli(binarize=True), max_iter=1, random_state=0
    ).fit(X)
    assert taken == {"elu_", "elu_backward_", "draw_bernoulli", "bernoulli_gradient", "adam"}
