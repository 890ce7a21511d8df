"""The optimiser."""

import contextlib
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from walks import PLAN, Walk, generator, walk

from skvae._model.phases import CODES, DECODER, WHOLE
from skvae._model.vae import VAE
from skvae._torch.runtime import networks_in
from skvae._training.optimizer import Optimizer
from skvae._training.schedules import SCHEDULES
from skvae._training.step import Step
from skvae.likelihoods import Gaussian, Histogram, Ordinal
from skvae.networks import MLP
from skvae.priors._modules import LearnedMixture


class Layers(nn.Module):
    """Parameters of several shapes, in no order of theirs."""

    def __init__(self):
        super().__init__()
        draw = generator(1)
        self.scale = nn.Parameter(torch.randn((), generator=draw))
        self.weight = nn.Parameter(torch.randn(3, 2, generator=draw))
        self.bias = nn.Parameter(torch.randn(3, generator=draw))
        self.kernel = nn.Parameter(torch.randn(2, 2, 2, generator=draw))

    def loss(self, step=0):
        """Gradients that change with the parameters and the steps."""
        return sum(((p - 0.1 * step) ** 2 * (1 + i)).sum() for i, p in enumerate(self.parameters()))


def step_down(optimizer, loss, rate=1.0):
    loss.backward()
    optimizer.step(rate)


def values(module):
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def test_parameters_are_views_of_one_vector():
    module = Layers()
    before = values(module)
    optimizer = Optimizer(module, PLAN, None)
    assert optimizer.values.numel() == sum(p.numel() for p in before.values())
    for name, value in values(module).items():
        assert torch.equal(value, before[name])
    optimizer.values.fill_(7.0)
    optimizer.gradient.fill_(3.0)
    for parameter in module.parameters():
        assert (parameter == 7.0).all()
        assert (parameter.grad == 3.0).all()


@pytest.mark.parametrize(
    ("rate", "averaged", "decay"),
    [(1.0, 1000, 0.0), (0.3, 1000, 0.0), (1.0, 20, 0.0), (0.3, 1000, 2.0)],
)
def test_steps_are_those_of_adamw(rate, averaged, decay):
    module, twin = Layers(), Layers()
    ours = Optimizer(module, replace(PLAN, gradient_clip=None, weight_decay=decay), None)
    ours.average_over(averaged)
    groups = [
        {"params": [twin.weight, twin.kernel], "weight_decay": decay},
        {"params": [twin.scale, twin.bias], "weight_decay": 0.0},
    ]
    with warnings.catch_warnings():  # what it imports sets filters of its own
        theirs = torch.optim.AdamW(groups, lr=0.1 * rate, betas=(0.9, 1 - 1 / averaged))
    for step in range(20):
        step_down(ours, module.loss(step), rate)
        theirs.zero_grad()
        twin.loss(step).backward()
        theirs.step()
    for name, value in values(twin).items():
        torch.testing.assert_close(values(module)[name], value, rtol=1e-5, atol=1e-6)


def first_step(plan, gradient_of):
    """The gradient that the first step used."""
    module = Layers()
    optimizer = Optimizer(module, plan, None)
    before = values(module)
    gradient_of(module).backward()
    optimizer.step(1.0)
    assert (optimizer.gradient == 0).all()
    first = optimizer.moments["first"] / (1 - 0.9)
    found = {}
    for name, parameter in module.named_parameters():
        start = parameter.storage_offset()
        found[name] = first[start : start + parameter.numel()].view_as(parameter)
    return before, found


def test_l2_pulls_weight_matrices_only():
    before, gradient = first_step(
        replace(PLAN, alpha=2.0, gradient_clip=None), lambda m: 0.0 * m.loss()
    )
    for name, value in before.items():
        # the gradient of alpha / (2 batch_size) |W|^2
        expected = 2.0 / PLAN.batch_size * value if value.dim() >= 2 else 0.0 * value
        torch.testing.assert_close(gradient[name], expected)


def test_a_learned_prior_is_not_decayed():
    module = nn.Module()
    module.weight = nn.Parameter(torch.ones(2, 3))
    module.learned_prior = LearnedMixture.near_standard_normal(4, 2, generator(0))
    before = module.learned_prior.mean.detach().clone()
    optimizer = Optimizer(module, replace(PLAN, alpha=2.0), None)
    optimizer.step(1.0)
    torch.testing.assert_close(module.learned_prior.mean.detach(), before, rtol=0, atol=0)
    assert (module.weight < 1).all()


def test_the_parameters_of_likelihoods_are_not_decayed():
    column = np.repeat([0.0, 1.0, 2.0], [100, 10, 10])[:, None]
    constants = Ordinal().fit(column, np.ones(120))
    model = VAE([(Ordinal(), constants, 1, None)], [], MLP(5), MLP(5), 2, generator(1))
    before = values(model)
    optimizer = Optimizer(model, replace(PLAN, alpha=2.0), None)
    optimizer.step(1.0)
    for name, value in values(model).items():
        is_decayed = "weights" in name or name.endswith("skip")
        assert is_decayed or torch.equal(value, before[name])
    assert not torch.equal(values(model)["encoder.weights.0"], before["encoder.weights.0"])


def test_only_learned_parameters_change():
    module = Layers()
    before, learned = values(module), [module.bias, module.weight]
    optimizer = Optimizer(module, replace(PLAN, alpha=2.0), None, learned)
    assert optimizer.values.numel() == sum(p.numel() for p in learned)
    optimizer.gradient.fill_(1.0)
    optimizer.step(1.0)
    for name, value in values(module).items():
        assert torch.equal(value, before[name]) == (name not in {"bias", "weight"})
    assert all((p.grad is None) == (p.dim() in {0, 3}) for p in module.parameters())


@pytest.mark.parametrize("clip", [0.5, None])
def test_each_element_of_the_gradient_is_clipped(clip):
    before, gradient = first_step(replace(PLAN, gradient_clip=clip), lambda m: m.loss())
    for i, (name, value) in enumerate(before.items()):
        expected = 2 * (1 + i) * value
        if clip is not None:
            expected = expected.clamp(-clip, clip)
        torch.testing.assert_close(gradient[name], expected)


def test_adam_averages_over_the_steps_that_the_schedule_sets():
    optimizer = Optimizer(Walk(), PLAN, None)
    walk(
        learning_rate=SCHEDULES["cosine"], validation=False, epochs=range(3), min_steps=400,
        optimizer=optimizer,
    )  # fmt: skip
    assert optimizer.averaged_steps == 1200 / 25


def test_another_memory_leaves_the_size_of_steps():
    def moved(optimizer):
        before = optimizer.values.clone()
        optimizer.gradient.copy_(torch.randn(optimizer.gradient.shape, generator=draw))
        optimizer.step(1.0)
        return float((optimizer.values - before).abs().mean())

    draw = generator()
    one = Optimizer(Nets(), PLAN, None)
    one.average_over(20)
    usual = np.mean([moved(one) for _ in range(60)][-20:])
    two = Optimizer(Nets(), PLAN, one.state())
    assert two.averaged_steps == 20
    two.average_over(1000)
    assert np.mean([moved(two) for _ in range(20)]) == pytest.approx(usual, rel=0.2)


def test_state_round_trip():
    straight, first = Layers(), Layers()
    optimizer = Optimizer(straight, PLAN, None)
    half = Optimizer(first, PLAN, None)
    for step in range(6):
        step_down(optimizer, straight.loss(step))
        if step < 3:
            step_down(half, first.loss(step))
    second = Layers()
    second.load_state_dict(first.state_dict())
    state = half.state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    for step in range(3, 6):
        step_down(half, first.loss(step))  # leaves the arrays of the state alone
    resumed = Optimizer(second, PLAN, state)
    for step in range(3, 6):
        step_down(resumed, second.loss(step))
    assert torch.equal(half.values, optimizer.values)
    assert torch.equal(resumed.values, optimizer.values)


class Nets(nn.Module):
    """A network in closed form between parameters of its own, as likelihoods have them."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.net = MLP((5,)).build(4, 3, output_gain=1.0, generator=generator(1))
        self.kernel = nn.Parameter(torch.ones(2, 2))

    def find_gradient(self, x):
        """Of the mean square of what the net makes of x, and of what lies beside it."""
        found, backward = self.net.vjp(x, generator(), to_x=False)
        backward(2 * found / len(x))
        for parameter in (self.scale, self.kernel):
            parameter.grad += parameter
        return found.square().sum(1).mean()


def fit_nets(precision, n_steps=30, rate=1e-3):
    module = Nets()
    plan = replace(PLAN, precision=precision, learning_rate_init=rate)
    optimizer, x = Optimizer(module, plan, None), torch.randn(8, 4, generator=generator(2))
    with torch.no_grad(), optimizer.steps():
        types = {name: p.dtype for name, p in module.named_parameters()}
        for _ in range(n_steps):
            loss = module.find_gradient(x)
            optimizer.step(1.0)
    return module, types, float(loss)


def test_networks_in_closed_form_work_on_copies():
    module, types, loss = fit_nets("bfloat16")
    twin, plain, expected = fit_nets("float32")
    for name, dtype in types.items():
        assert dtype == (torch.bfloat16 if name.startswith("net.") else torch.float32)
    assert set(plain.values()) == {torch.float32}
    assert loss == pytest.approx(expected, rel=0.02)
    start = values(Nets())
    for name, value in values(module).items():
        assert value.dtype == torch.float32
        other = values(twin)[name]
        assert (value - other).norm() < 0.1 * (other - start[name]).norm()


def test_working_copies_are_made_in_each_context():
    module = Nets()
    optimizer = Optimizer(module, replace(PLAN, precision="bfloat16"), None)
    for value in (0.0, 7.0):
        optimizer.values.fill_(value)
        with torch.no_grad(), optimizer.steps():
            for parameter in module.parameters():
                assert (parameter == value).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_each_parameter_has_a_place_of_its_own(precision):
    module = Nets()
    before = values(module)
    optimizer = Optimizer(module, replace(PLAN, precision=precision), None)
    for inside in (contextlib.nullcontext(), optimizer.steps()):
        with inside:
            for name, value in values(module).items():
                torch.testing.assert_close(value.float(), before[name], rtol=2**-8, atol=0)
            for place, parameter in enumerate(module.parameters()):
                parameter.grad.fill_(place)
            for place, parameter in enumerate(module.parameters()):
                assert (parameter.grad == place).all()


def test_steps_too_small_for_the_copies_add_up():
    start = values(Nets())["net.weights.0"]
    module, _, _ = fit_nets("bfloat16", n_steps=20, rate=1e-5)
    # each is far below the 2^-9 to which bfloat16 rounds, as most weights are large
    moved = (values(module)["net.weights.0"] - start).abs()
    assert (moved > 1e-4).double().mean() > 0.9


def test_an_error_within_steps_leaves_the_parameters_in_float32():
    module = Nets()
    optimizer = Optimizer(module, replace(PLAN, precision="bfloat16"), None)
    with pytest.raises(KeyboardInterrupt), optimizer.steps():
        raise KeyboardInterrupt
    optimizer.values.fill_(7.0)
    for parameter in module.parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32
        assert (parameter == 7.0).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_network_that_does_not_learn_leaves_the_others_their_places(precision):
    module = Nets()
    module.still = MLP((5,)).build(4, 3, output_gain=1.0, generator=generator(2))
    before = values(module)
    moving = {name: p for name, p in module.named_parameters() if not name.startswith("still.")}
    optimizer = Optimizer(module, replace(PLAN, precision=precision), None, list(moving.values()))
    with optimizer.steps():
        for place, parameter in enumerate(moving.values()):
            parameter.grad.fill_(1.0 + place)
        for place, (name, parameter) in enumerate(moving.items()):
            assert (parameter.grad == 1.0 + place).all()
            own = precision == "bfloat16" and name.startswith("net.")
            assert parameter.dtype == (torch.bfloat16 if own else torch.float32)
        optimizer.step(1.0)
        # networks in closed form overwrite theirs
        assert (module.scale.grad == 0).all()
        assert (module.kernel.grad == 0).all()
    for name, value in values(module).items():
        # the first step of Adam is of the learning rate
        step = PLAN.learning_rate_init if name in moving else 0.0
        torch.testing.assert_close(value, before[name] - step)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("phase", [WHOLE, CODES, DECODER], ids=["whole", "codes", "decoder"])
def test_a_phase_moves_what_it_learns(phase, precision):
    x, parts = np.random.default_rng(0).normal(size=(40, 1)), (Gaussian(), Histogram(n_bins=8))
    constants = [part.fit(x, np.ones(40)) for part in parts]
    groups = [(part, fitted, 1, None) for part, fitted in zip(parts, constants, strict=True)]
    model = VAE(groups, [], MLP(5), MLP(5), 2, generator(1))
    for parameter in model.parameters():  # many start at zero
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator(2))
    before, learned = values(model), set(model.learned(phase))
    plan = replace(PLAN, precision=precision, batch_size=40)
    optimizer = Optimizer(model, plan, None, model.learned(phase))
    step = Step(model, plan, optimizer, generator(2), n_steps=2, phase=phase)
    working = [part.to_working(x, fitted) for part, fitted, _, _ in groups]
    cells = model.cells(torch.from_numpy(np.column_stack(working)).float())
    with optimizer.steps(), torch.inference_mode(), networks_in(precision, cells.values.device):
        for done in (0.2, 0.7):
            step(cells, done, 1.0, with_loss=True)
    assert all(torch.isfinite(total).all() for total in step.sums)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (parameter not in learned), name
        assert parameter.dtype == torch.float32
