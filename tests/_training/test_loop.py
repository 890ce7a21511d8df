"""The training loop, on models whose course is known."""

import math
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from walks import PLAN, Walk, generator, rows, walk

from skvae import VAETransformer
from skvae._model.cells import Cells
from skvae._model.phases import CODES, WHOLE
from skvae._model.vae import VAE
from skvae._training import bounds, loop
from skvae._training.history import History
from skvae._training.optimizer import Optimizer
from skvae._training.rows import Rows
from skvae._training.schedules import SCHEDULES
from skvae._training.step import Step
from skvae.likelihoods import Gaussian
from skvae.networks import MLP
from skvae.objectives import ELBO


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


def test_adaptive_continues_from_the_best_weights_in_smaller_steps():
    # two epochs beyond 0.3, the same from there by a fifth: 0.32, and one epoch beyond
    theta, history = walk(learning_rate=SCHEDULES["adaptive"])
    assert theta == pytest.approx(0.32, abs=1e-5)
    places = [0.1, 0.2, 0.3, 0.4, 0.5, 0.32, 0.34]
    expected = [-((place - 0.32) ** 2) for place in places]
    assert history.validation_scores == pytest.approx(expected, abs=1e-5)
    # the learning rate falls in the last third of 20 epochs, after these
    assert history.learning_rates == pytest.approx([0.1] * 5 + [0.02] * 2)


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
    # the two terms of a bound of 0, 0.1, 0.2 ... with a divergence of 3 nats
    assert moved.kl_curve == [3.0] * len(moved.loss_curve)
    terms = zip(moved.reconstruction_curve, moved.kl_curve, strict=True)
    assert [sum(pair) for pair in terms] == pytest.approx(moved.loss_curve)
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


def test_validation_noise_is_fixed_and_training_noise_is_fresh():
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
def test_an_interrupt_within_an_epoch_keeps_the_weights_of_the_last_complete_one(step):
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


def beyond(limit):
    """A loss that is infinite beyond a limit of theta."""
    return lambda theta: -theta + torch.where(theta > limit, math.inf, 0.0)


def test_an_epoch_that_diverges_is_taken_again_at_a_fifth_of_the_rate():
    kept, seen = {"early_stopping": False, "validation": False}, []
    expected = [0.1, 0.2, 0.22, 0.24, 0.26]
    # the loss of a step is that before it: epoch 4 begins at 0.3, and returns to 0.2 at last
    theta, history = walk(Walk(loss=beyond(0.27)), epochs=range(5), **kept)
    assert history.diverged == [4, 4]
    assert history.learning_rates == pytest.approx([0.1, 0.1, 0.1, 0.004, 0.004])
    assert theta == pytest.approx(0.208)
    # a held-out row shows it in the epoch itself
    model = Walk()
    model.bound = lambda objective, cells, noise, phase: (
        model.value(cells.values) - torch.where(model.theta > 0.27, math.inf, 0.0)
    )

    def report(history):
        seen.append(model.theta.item())
        return False

    theta, history = walk(model, epochs=range(5), early_stopping=False, on_epoch=report)
    assert seen == pytest.approx(expected)
    assert history.diverged == [3]
    assert history.learning_rates == pytest.approx([0.1, 0.1, 0.02, 0.02, 0.02])
    assert len(history.loss_curve) == len(history.validation_scores) == 5


@pytest.mark.parametrize(
    ("loss", "clip"),
    [
        (lambda theta: (0.25 - theta).log(), 5.0),  # the loss is NaN beyond 0.25
        (beyond(0.15), 5.0),
        (lambda theta: -theta.sqrt(), None),  # 0, but its slope is infinite: theta is NaN
    ],
    ids=["nan", "inf", "weights"],
)
@pytest.mark.parametrize("validation", [True, False])
def test_a_fit_that_keeps_diverging_names_the_epoch_and_the_learning_rate(loss, clip, validation):
    message = r"diverged in epoch \d+: .*learning_rate_init=0\.1 and after 5 reductions .*Lower"
    with pytest.raises(ValueError, match=message):
        walk(
            Walk(loss=loss),
            gradient_clip=clip,
            validation=validation,
            epochs=range(100),
            early_stopping=False,
        )


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
    assert all(call["objective"] == objective for call in model.calls if not call["training"])
    assert {call["objective"].free_bits for call in model.calls} == {0.5}


@pytest.mark.parametrize(("n", "min_steps", "steps"), [(4, 1, 1), (5, 1, 2), (9, 2, 3), (4, 7, 7)])
def test_an_epoch_is_a_pass_over_the_rows_or_more(n, min_steps, steps):
    model = Walk()
    training_rows = rows(1.0, 0.0, n=n)
    walk(model, training_rows=training_rows, min_steps=min_steps, validation=False, epochs=range(1))
    assert len(model.calls) == steps


@pytest.mark.parametrize(
    ("loss_steps", "told"),
    [(1, [4]), (2, [2, 6]), (3, [1, 3, 5, 7]), (5, range(8)), (8, range(8)), (9, range(8))],
)
def test_the_loss_is_the_mean_of_steps_spread_over_the_epoch(monkeypatch, loss_steps, told):
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
        ends.append(torch.cat([step.optimizer.values, *(total.flatten() for total in step.sums)]))
        if replayed:  # two steps of the warm-up, each with its beta, then told ones and others
            assert len(places) == 4
            assert len(set.union(*places.values())) == 1
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)  # the tensor holds a rate in float32


def test_the_schedule_scales_the_steps():
    theta, _ = walk(learning_rate=SCHEDULES["cosine"], validation=False, epochs=range(8))
    expected = sum(0.1 * SCHEDULES["cosine"].factor((step + 0.5) / 8) for step in range(8))
    assert theta == pytest.approx(expected, rel=1e-5)


def test_a_continued_fit_continues_its_schedule():
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
    with pytest.raises(ValueError, match=r"diverged in epoch 4:"):
        walk(Walk(loss=beyond(-1.0)), epochs=range(3, 20))


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


def test_a_later_phase_appends_to_the_history():
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
    model, history = Walk(loss=beyond(-1.0)), History(loss_curve=[0.0] * 7)
    with pytest.raises(ValueError, match=r"diverged in epoch 8:"):
        walk(model, history=history)


@pytest.mark.parametrize("average", [0.0, 2.0])
def test_a_step_that_is_undone_changes_nothing(wine, monkeypatch, average):
    """With a step, its noise and a score, before each that counts."""
    settings = {"hidden_layer_sizes": (8,), "max_iter": 5, "validation_fraction": 0.2}
    settings |= {"average": average}
    X = wine / wine.std(axis=0)
    expected = VAETransformer(2, **settings, random_state=0).fit(X)

    @contextmanager
    def undoing(outcome):
        def step(take):
            assert all(map(torch.equal, outcome(take), outcome(take)))
            take()

        yield step

    monkeypatch.setattr(loop, "paced", undoing)
    found = VAETransformer(2, **settings, random_state=0).fit(X)
    assert found.loss_curve_ == expected.loss_curve_
    assert found.validation_scores_ == expected.validation_scores_
    for name, tensor in expected.module_.state_dict().items():
        assert torch.equal(found.module_.state_dict()[name], tensor)
