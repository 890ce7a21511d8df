import numpy as np
import pytest
import torch
from walks import Walk, walk

from skvae import VAETransformer
from skvae._training.average import AveragedWeights
from skvae._training.schedules import SCHEDULES


def averaged(steps, n_steps):
    """The averages after each step, for values that the steps set."""
    values = torch.zeros(1)
    average = AveragedWeights(values, n_steps)
    found = []
    for step in steps:
        with average.at_latest():
            values.fill_(step)
            average.update()
        found.append(values.item())
    return found


def test_the_first_steps_have_equal_weights_and_later_ones_decay():
    steps = [3.0, 5.0, 1.0, 7.0, -2.0]
    found = averaged(steps, n_steps=3)
    assert found[:3] == pytest.approx([3.0, 4.0, 3.0])  # without the value at the start
    expected = 3.0
    for step, mean in zip(steps[3:], found[3:], strict=True):
        expected += (step - expected) / 3
        assert mean == pytest.approx(expected)


def test_an_average_over_one_step_is_its_values():
    steps = np.random.default_rng(0).normal(size=9).astype(np.float32).tolist()
    assert averaged(steps, n_steps=1) == steps


def test_steps_continue_from_the_latest_values():
    values = torch.tensor([1.0])
    average = AveragedWeights(values, 10)
    for expected in (2.0, 3.0):
        with average.at_latest():
            values += 1
            average.update()
            assert values.item() == expected
    assert values.item() == 2.5
    values.fill_(9.0)
    average.restart()
    with average.at_latest():
        assert values.item() == 9.0
        values += 1
        average.update()
    assert values.item() == 10.0


def test_training_scores_and_keeps_the_averages():
    # steps of 0.1; the mean of four steps, and then a fourth of the way to each of four others
    theta, history = walk(average=1.0, min_steps=4, epochs=range(2), early_stopping=False)
    expected = 0.25
    for step in (0.5, 0.6, 0.7, 0.8):
        expected += (step - expected) / 4
    assert theta == pytest.approx(expected)
    expected = [-((mean - 0.32) ** 2) for mean in (0.25, expected)]
    assert history.validation_scores == pytest.approx(expected)


def test_a_reduced_rate_continues_from_the_average_of_the_best_epoch():
    theta, history = walk(average=2.0, learning_rate=SCHEDULES["adaptive"])
    assert theta == pytest.approx(0.3125)
    means = [0.1, 0.15, 0.225, 0.3125, 0.40625, 0.503125, 0.3125 + 0.02]
    expected = [-((mean - 0.32) ** 2) for mean in means]
    assert history.validation_scores == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("step", [1, 3])
def test_an_interrupt_within_an_epoch_keeps_the_averages_of_the_last_complete_one(step):
    class Interrupted(Walk):
        def find_gradient(self, *arguments):
            if len([call for call in self.calls if call["training"]]) == 4 + step:
                raise KeyboardInterrupt
            return super().find_gradient(*arguments)

    theta, history = walk(Interrupted(), average=1.0, min_steps=4, early_stopping=False)
    assert history.interrupted
    assert theta == pytest.approx(0.25)


def test_callbacks_and_the_fitted_model_have_the_averages():

    seen = []
    model = Walk()
    theta, history = walk(
        model,
        average=1.0,
        min_steps=4,
        epochs=range(3),
        on_epoch=lambda history: seen.append(model.theta.item()),
    )
    expected = [-((theta - 0.32) ** 2) for theta in seen]
    assert history.validation_scores == pytest.approx(expected)
    assert theta == seen[int(np.argmax(history.validation_scores))]


@pytest.mark.parametrize("changes", [{}, {"precision": "bfloat16"}], ids=str)
def test_averages_change_scores_but_not_the_first_steps(wine, changes):
    settings = {"max_iter": 12, "random_state": 0, "likelihood": "gaussian"} | changes
    vae = VAETransformer(**settings, average=3.0).fit(wine)
    plain = VAETransformer(**settings, average=0.0).fit(wine)
    assert vae.best_validation_score_ == max(vae.validation_scores_)
    assert vae.loss_curve_[0] == plain.loss_curve_[0]
    assert vae.validation_scores_[0] != plain.validation_scores_[0]


def test_a_fit_of_two_stages_and_a_continued_one(wine):
    X = np.where(wine > np.median(wine, axis=0), wine, 0.0)  # spikes at zero: codes come first
    vae = VAETransformer(
        likelihood="histogram", max_iter=9, average=2.0, warm_start=True, random_state=0
    )
    vae.set_params(early_stopping=False).fit(X)
    assert 0 < vae.n_iter_codes_ < vae.n_iter_
    before = vae.score(X)
    vae.set_params(max_iter=12).fit(X)
    assert vae.n_iter_ == 12
    assert vae.score(X) > before - 1


def test_partial_fit_does_not_average(wine):
    codes = [
        VAETransformer(random_state=0, average=average).partial_fit(wine).transform(wine)
        for average in (0.0, 5.0)
    ]
    np.testing.assert_array_equal(*codes)
