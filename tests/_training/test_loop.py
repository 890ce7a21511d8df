"""The optimiser and the training loop, on models whose course is known."""

import contextlib
import math
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from skvae._model.cells import Cells
from skvae._model.phases import CODES, DECODER, WHOLE
from skvae._model.vae import VAE
from skvae._torch.runtime import networks_in
from skvae._torch.vjp import by_autograd
from skvae._training import bounds, loop
from skvae._training.loop import History, Step, train
from skvae._training.optimizer import Optimizer
from skvae._training.plan import Plan, auto_batch_size
from skvae._training.rows import Rows
from skvae._training.schedules import SCHEDULES, resolve_schedule
from skvae.likelihoods import Gaussian, Histogram
from skvae.networks import MLP
from skvae.objectives import ELBO

PLAN = Plan(
    objective=ELBO(),
    kl_warmup=0.0,
    n_draws=1,
    alpha=0.0,
    learning_rate=SCHEDULES["constant"],
    learning_rate_init=0.1,
    batch_size=4,
    gradient_clip=5.0,
    precision="float32",
    early_stopping=True,
    n_iter_no_change=2,
    tol=0.0,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# -- the schedule ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"), [("constant", [1, 1, 1, 1]), ("cosine", [0.5, 1, 0.5, 0])]
)
def test_schedules(name, values):
    assert [SCHEDULES[name].factor(p) for p in (0.05, 0.1, 0.55, 1.0)] == pytest.approx(values)
    course = [SCHEDULES[name].factor(p) for p in np.linspace(0.1, 1, 50)]
    assert all(a >= b for a, b in pairwise(course))


@pytest.mark.parametrize(
    ("n_rows", "batch_size"),
    [(1, 64), (1000, 64), (8191, 64), (8192, 128), (30_000, 256), (10**7, 512)],
)
def test_batches_grow_with_the_table(n_rows, batch_size):
    assert auto_batch_size(n_rows) == batch_size


# -- the optimiser ----------------------------------------------------------------


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


@pytest.mark.parametrize(("rate", "averaged"), [(1.0, 1000), (0.3, 1000), (1.0, 20)])
def test_steps_are_those_of_adam(rate, averaged):
    module, twin = Layers(), Layers()
    ours = Optimizer(module, replace(PLAN, gradient_clip=None), None)
    ours.average_over(averaged)
    with warnings.catch_warnings():  # what it imports sets filters of its own
        theirs = torch.optim.Adam(twin.parameters(), lr=0.1 * rate, betas=(0.9, 1 - 1 / averaged))
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


def test_only_what_is_to_learn_moves():
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


def test_a_function_of_the_share_of_the_steps_is_a_schedule():
    theta, _ = walk(
        learning_rate=resolve_schedule(lambda progress: 1 - progress),
        validation=False, epochs=range(4), learning_rate_init=0.1,
    )  # fmt: skip
    assert float(theta) == pytest.approx(0.1 * 0.5 * 4, rel=0.01)
    with pytest.raises(ValueError, match=r"learning_rate\(1.0\) must be a finite number"):
        resolve_schedule(lambda progress: -progress)
    with pytest.raises(ValueError, match=r"learning_rate\(0.0\) raises ZeroDivisionError"):
        resolve_schedule(lambda progress: 1 / progress)


@pytest.mark.parametrize(
    ("learning_rate", "n_steps", "averaged"),
    [("cosine", 2, 20), ("cosine", 2000, 80), ("cosine", 10**6, 1000), ("constant", 2000, 1000)],
)
def test_a_run_of_known_length_averages_squares_over_a_share_of_it(
    learning_rate, n_steps, averaged
):
    assert SCHEDULES[learning_rate].averaged_steps(n_steps) == averaged


def test_training_averages_over_the_steps_that_its_schedule_tells():
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


def test_copies_are_made_anew_each_time():
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


def test_what_raises_amid_steps_leaves_the_parameters_in_float32():
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
    assert torch.isfinite(step.loss).all()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (parameter not in learned), name
        assert parameter.dtype == torch.float32


# -- training ---------------------------------------------------------------------


class Walk(nn.Module):
    """theta walks up from 0 by the learning rate a step; held-out rows look for ``target``.

    A training row is (1, 0), its bound theta; a held-out row (0, 1), its bound
    -(theta - target)^2.
    """

    n_components = 1

    def __init__(self, target=0.32, loss=lambda theta: -theta):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1))
        self.target, self.loss = target, loss
        self.calls = []
        self.asked = 0  # how often for a bound in training

    def network_buffers(self):
        return []

    def draw_target(self, cells, generator):
        return cells

    def value(self, x):
        return -x[:, 0] * self.loss(self.theta) - x[:, 1] * (self.theta - self.target).square()

    def _told(self, training, objective, noise, phase):
        told = {"training": training, "objective": objective, "noise": noise.clone()}
        self.calls.append(told | {"phase": phase})

    def bound(self, objective, cells, noise, phase):
        self._told(False, objective, noise, phase)
        return self.value(cells.values)

    def find_gradient(self, objective, cells, noise, generator, phase):
        self._told(True, objective, noise, phase)
        bound, backward = by_autograd(self.value, cells.values, to_x=False)
        backward(torch.full_like(bound, -1 / len(bound)))

        def later():
            self.asked += 1
            return self.value(cells.values)

        return later


def rows(*row, n=4, weight=None, log_jacobian=0.0):
    weight = torch.ones(n, dtype=torch.float64) if weight is None else torch.tensor(weight).double()
    return Rows(weight, log_jacobian, Cells(torch.tensor([row]).repeat(len(weight), 1), None))


def walk(
    model=None,
    *,
    on_epoch=lambda history: False,
    validation=True,
    epochs=range(20),
    min_steps=1,
    training_rows=None,
    optimizer=None,
    phase=WHOLE,
    history=None,
    **changes,
):
    """Train by ``PLAN`` with changes, one step an epoch; theta and the history."""
    plan = replace(PLAN, **changes)
    model = Walk() if model is None else model
    with torch.no_grad():
        history = train(
            model,
            rows(1.0, 0.0) if training_rows is None else training_rows,
            plan,
            epochs=epochs,
            min_steps=min_steps,
            validation=rows(0.0, 1.0) if validation is True else validation or None,
            optimizer=optimizer or Optimizer(model, plan, None),
            generator=generator(),
            on_epoch=on_epoch,
            phase=phase,
            history=history,
        )
    return model.theta.item(), history


def test_early_stopping_restores_the_best_weights():
    theta, history = walk()
    # 0.3 after epoch 3 is the nearest to 0.32; two epochs without progress end it
    assert theta == pytest.approx(0.3)
    expected = [-((0.1 * epoch - 0.32) ** 2) for epoch in range(1, 6)]
    assert history.validation_scores == pytest.approx(expected, abs=1e-6)
    assert history.best_validation_score == max(history.validation_scores)
    assert history.loss_curve == pytest.approx([0, -0.1, -0.2, -0.3, -0.4])
    assert not history.interrupted
    assert not history.stopped


def test_adaptive_goes_on_from_the_best_weights_in_smaller_steps():
    # two epochs beyond 0.3, the same from there by a fifth: 0.32, and one epoch beyond
    theta, history = walk(learning_rate=SCHEDULES["adaptive"])
    assert theta == pytest.approx(0.32, abs=1e-5)
    places = [0.1, 0.2, 0.3, 0.4, 0.5, 0.32, 0.34]
    expected = [-((place - 0.32) ** 2) for place in places]
    assert history.validation_scores == pytest.approx(expected, abs=1e-5)


def test_best_weights_come_back_at_the_last_epoch_too():
    assert walk(epochs=range(4))[0] == pytest.approx(0.3)


def test_progress_smaller_than_tol_does_not_count():
    theta, history = walk(tol=0.1)
    assert len(history.loss_curve) == 3
    assert theta == pytest.approx(0.3)  # the best of what was seen all the same


def test_held_out_rows_are_scored_without_early_stopping():
    theta, history = walk(early_stopping=False, epochs=range(7))
    assert theta == pytest.approx(0.7)
    assert len(history.validation_scores) == len(history.loss_curve) == 7
    assert history.best_validation_score == pytest.approx(-(0.02**2), abs=1e-6)


def test_no_held_out_rows():
    theta, history = walk(validation=False, epochs=range(7))
    assert theta == pytest.approx(0.7)
    assert history.validation_scores == []
    assert history.best_validation_score is None


def test_curves_are_in_the_callers_units():
    _, plain = walk()
    _, moved = walk(
        training_rows=rows(1.0, 0.0, log_jacobian=3.0), validation=rows(0.0, 1.0, log_jacobian=-2.0)
    )
    assert [loss + 3 for loss in moved.loss_curve] == pytest.approx(plain.loss_curve)
    assert [s + 2 for s in moved.validation_scores] == pytest.approx(plain.validation_scores)


def test_held_out_rows_count_by_their_weights():
    cells = Cells(torch.tensor([[0.0, 1.0], [0.0, 4.0]]), None)
    mixed = Rows(torch.tensor([3.0, 1.0]).double(), 0.0, cells)
    _, plain = walk()
    _, weighted = walk(validation=mixed)
    share = (3 * 1 + 1 * 4) / 4
    assert weighted.validation_scores == pytest.approx(
        [share * score for score in plain.validation_scores]
    )


def test_chunks_of_held_out_rows_do_not_show(monkeypatch):
    held_out = Rows(
        torch.rand(7, generator=generator(), dtype=torch.float64),
        0.0,
        Cells(torch.arange(14.0).view(7, 2) * torch.tensor([0.0, 1.0]), None),
    )
    expected = walk(validation=held_out)[1].validation_scores
    monkeypatch.setattr(bounds, "CHUNK_ROWS", 3)
    assert walk(validation=held_out)[1].validation_scores == pytest.approx(expected, rel=1e-12)


def test_validation_noise_is_the_same_each_time_and_training_noise_fresh():
    model = Walk()
    walk(model)
    # the start is scored too
    for training, calls, distinct in ((False, 6, 1), (True, 5, 5)):
        noises = [call["noise"] for call in model.calls if call["training"] == training]
        assert len(noises) == calls
        assert len({tuple(noise.ravel().tolist()) for noise in noises}) == distinct


def test_training_noise_has_the_shape_of_its_draws_and_slots():
    model = Walk()
    walk(model, n_draws=3, validation=False, epochs=range(1))
    assert model.calls[0]["noise"].shape == (3, PLAN.batch_size, 1)


def test_on_epoch_is_called_after_each_epoch_and_ends_training():
    seen = []

    def stop_at_three(history):
        seen.append(len(history.loss_curve))
        return len(seen) == 3

    theta, history = walk(on_epoch=stop_at_three, early_stopping=False)
    assert history.stopped
    assert seen == [1, 2, 3]
    assert theta == pytest.approx(0.3)
    assert len(history.loss_curve) == len(history.validation_scores) == 3
    assert not history.interrupted


@pytest.mark.parametrize(("early_stopping", "kept"), [(False, 0.4), (True, 0.3)])
def test_an_interrupt_keeps_the_trained_epochs(early_stopping, kept):
    def interrupt(history):
        if len(history.loss_curve) == 4:
            raise KeyboardInterrupt

    theta, history = walk(on_epoch=interrupt, early_stopping=early_stopping)
    assert history.interrupted
    assert history.stopped
    assert len(history.loss_curve) == 4
    assert theta == pytest.approx(kept)


@pytest.mark.parametrize("step", [3, 4])
def test_an_interrupt_amid_an_epoch_keeps_the_weights_of_the_last_whole_one(step):
    class Interrupted(Walk):
        def __init__(self):
            super().__init__()
            self.seen = torch.zeros(1)  # as a running mean of batch normalisation

        def network_buffers(self):
            return [self.seen]

        def find_gradient(self, *arguments):
            self.seen += 1
            if sum(call["training"] for call in self.calls) == step:
                raise KeyboardInterrupt
            return super().find_gradient(*arguments)

    model = Interrupted()
    optimizer = Optimizer(model, PLAN, None)
    theta, history = walk(model, optimizer=optimizer, early_stopping=False, min_steps=2)
    n_steps = step - step % 2  # two an epoch
    assert history.interrupted
    assert len(history.loss_curve) == n_steps / 2
    assert theta == pytest.approx(0.1 * n_steps)
    assert model.seen == n_steps
    assert optimizer.moments["steps"] == n_steps


def test_other_errors_of_on_epoch_come_through():
    def fail(history):
        raise RuntimeError("a callback failed")

    with pytest.raises(RuntimeError, match="a callback failed"):
        walk(on_epoch=fail)


@pytest.mark.parametrize(
    ("loss", "epoch", "clip"),
    [
        (lambda theta: (0.25 - theta).log(), 4, 5.0),  # the loss is NaN once theta is 0.3
        (lambda theta: -theta + torch.where(theta > 0.15, math.inf, 0.0), 3, 5.0),
        (lambda theta: -theta.sqrt(), 1, None),  # 0, but its slope is infinite: theta is NaN
    ],
    ids=["nan", "inf", "weights"],
)
@pytest.mark.parametrize("validation", [True, False])
def test_a_fit_that_diverges_names_the_epoch_and_the_learning_rate(loss, epoch, clip, validation):
    # held-out rows show it an epoch earlier
    epoch = max(epoch - validation, 1)
    message = rf"diverged in epoch {epoch}:.*learning_rate_init=0\.1\. Lower learning_rate_init"
    with pytest.raises(ValueError, match=message):
        walk(Walk(loss=loss), gradient_clip=clip, validation=validation)


def test_a_score_that_is_not_a_number_is_an_error():
    class Blind(Walk):
        def bound(self, *arguments):
            return math.nan * super().bound(*arguments)

    with pytest.raises(ValueError, match=r"epoch 1: .*outliers in the rows"):
        walk(Blind())


@pytest.mark.parametrize("kl_warmup", [0.0, 0.25, 1.0])
def test_kl_warmup_raises_beta_over_its_share_of_the_steps(kl_warmup):
    model = Walk()
    objective = ELBO(beta=2.0, free_bits=0.5)
    settings = {"objective": objective, "kl_warmup": kl_warmup, "early_stopping": False}
    walk(model, training_rows=rows(1.0, 0.0, n=7), epochs=range(4), **settings)
    betas = [call["objective"].beta for call in model.calls if call["training"]]
    progress = (np.arange(8) + 0.5) / 8
    warmth = np.minimum(1, progress / kl_warmup) if kl_warmup else np.ones(8)
    assert betas == pytest.approx(2.0 * warmth)
    # what is held out is scored at the full beta
    assert {call["objective"] for call in model.calls if not call["training"]} == {objective}
    assert {call["objective"].free_bits for call in model.calls} == {0.5}


@pytest.mark.parametrize(("n", "min_steps", "steps"), [(4, 1, 1), (5, 1, 2), (9, 2, 3), (4, 7, 7)])
def test_an_epoch_is_a_pass_over_the_rows_or_more(n, min_steps, steps):
    model = Walk()
    training_rows = rows(1.0, 0.0, n=n)
    walk(model, training_rows=training_rows, min_steps=min_steps, validation=False, epochs=range(1))
    assert len(model.calls) == steps


@pytest.mark.parametrize(
    ("loss_rows", "loss_steps", "told"),
    [
        (8, 1, [2, 6]),  # by two steps of 4 rows
        (9, 1, [1, 4, 7]),
        (1, 2, [2, 6]),
        (1, 1, [4]),
        (8, 8, range(8)),
        (2**13, 8, range(8)),
    ],
)
def test_the_loss_is_the_mean_of_steps_spread_over_the_epoch(
    monkeypatch, loss_rows, loss_steps, told
):
    monkeypatch.setattr(loop, "LOSS_ROWS", loss_rows)
    monkeypatch.setattr(loop, "LOSS_STEPS", loss_steps)
    model, training_rows = Walk(), rows(1.0, 0.0, n=32)  # eight steps, each 0.1 up
    theta, history = walk(model, training_rows=training_rows, validation=False, epochs=range(1))
    assert theta == pytest.approx(0.8)
    assert history.loss_curve == pytest.approx([-0.1 * np.mean(told)])
    assert model.asked == len(told)


@pytest.mark.parametrize("missing", [False, True])
def test_a_step_to_be_replayed_finds_all_in_the_same_place(missing):
    plan = replace(PLAN, learning_rate=SCHEDULES["cosine"], kl_warmup=0.25)
    values = torch.randn(8, 4, 3, generator=generator(3))
    observed = values > 0 if missing else None
    constants = Gaussian().fit(values[0].numpy(), np.ones(4))
    ends = []
    for replayed in (False, True):
        model = VAE([(Gaussian(), constants, 3, None)], [], MLP(5), MLP(5), 2, generator(1))
        step = Step(model, plan, Optimizer(model, plan, None), generator(2), n_steps=8)
        places = {}

        def replay(key, do, step=step, places=places):
            ((held, rate),) = step.held.values()
            places.setdefault(key, set()).add((held.values.data_ptr(), rate.data_ptr()))
            do()

        step.replay = replay if replayed else None
        with step.optimizer.steps(), torch.inference_mode():
            for number in range(8):
                there = None if observed is None else observed[number].clone()
                cells = Cells(values[number].clone(), there)
                step(cells, (number + 0.5) / 8, 1.0, with_loss=number % 2 == 1)
        ends.append(torch.cat([step.optimizer.values, step.loss]))
        if replayed:  # two steps of the warm-up, each with its beta, then told ones and others
            assert len(places) == 4
            assert len(set.union(*places.values())) == 1
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)  # the tensor holds a rate in float32


def test_the_schedule_scales_the_steps():
    theta, _ = walk(learning_rate=SCHEDULES["cosine"], validation=False, epochs=range(8))
    expected = sum(0.1 * SCHEDULES["cosine"].factor((step + 0.5) / 8) for step in range(8))
    assert theta == pytest.approx(expected, rel=1e-5)


def test_a_continued_fit_goes_on_in_its_schedule():
    theta, history = walk(
        learning_rate=SCHEDULES["cosine"], validation=False, epochs=range(3, 8), kl_warmup=1.0
    )
    expected = sum(0.1 * SCHEDULES["cosine"].factor((step + 0.5) / 8) for step in range(3, 8))
    assert theta == pytest.approx(expected, rel=1e-5)
    assert len(history.loss_curve) == 5


def test_a_continued_fit_does_not_end_worse_than_it_began():
    theta, history = walk(Walk(target=-0.2), epochs=range(3, 9))
    assert theta == 0.0
    assert history.best_validation_score == pytest.approx(-(0.2**2))


def test_progress_smaller_than_tol_does_not_count_in_a_continued_fit():
    # the scores rise from -0.09 to 0 in three epochs
    _, history = walk(Walk(target=0.3), epochs=range(3, 20), tol=0.1)
    assert len(history.loss_curve) == PLAN.n_iter_no_change


def test_a_continued_fit_that_diverges_names_the_epoch_of_all():
    with pytest.raises(ValueError, match=r"diverged in epoch 6:"):
        walk(Walk(loss=lambda theta: (0.25 - theta).log()), epochs=range(3, 20))


def test_training_noise_repeats_with_its_generator():
    models = [Walk(), Walk()]
    first, second = (walk(model) and [call["noise"] for call in model.calls] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("phase", [WHOLE, CODES])
def test_a_phase_is_trained_and_scored_as_itself(phase):
    model = Walk()
    walk(model, phase=phase)
    for training in (True, False):
        assert {call["phase"] for call in model.calls if call["training"] == training} == {phase}


def test_a_later_phase_goes_on_in_the_history():
    model, history = Walk(), History()
    walk(model, history=history, phase=CODES, epochs=range(2), early_stopping=False)
    assert model.theta.item() == pytest.approx(0.2)
    theta, same = walk(model, history=history, phase=CODES)
    assert same is history
    # 0.3 is the nearest to 0.32; two epochs without progress end it
    assert theta == pytest.approx(0.3)
    assert history.loss_curve == pytest.approx([0, -0.1, -0.2, -0.3, -0.4])
    places = [0.1, 0.2, 0.3, 0.4, 0.5]
    expected = [-((place - 0.32) ** 2) for place in places]
    assert history.validation_scores == pytest.approx(expected, abs=1e-6)


def test_a_later_phase_does_not_end_worse_than_it_began():
    model, history = Walk(), History()
    walk(model, history=history, epochs=range(3), early_stopping=False)
    start = model.theta.item()
    theta, _ = walk(model, history=history, phase=CODES)
    assert theta == start
    assert history.best_validation_score == pytest.approx(-(0.02**2), abs=1e-6)


def test_scores_of_an_earlier_phase_are_no_bar():
    # they are of another bound, which may be higher
    model, history = Walk(), History(loss_curve=[-9.0], best_validation_score=9.0)
    theta, _ = walk(model, history=history)
    assert theta == pytest.approx(0.3)
    assert history.best_validation_score == pytest.approx(-(0.02**2), abs=1e-6)


def test_a_later_phase_that_diverges_names_the_epoch_of_all():
    model, history = Walk(loss=lambda theta: (0.25 - theta).log()), History(loss_curve=[0.0] * 7)
    with pytest.raises(ValueError, match=r"diverged in epoch 10:"):
        walk(model, history=history)
