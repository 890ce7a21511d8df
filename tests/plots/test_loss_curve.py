import numpy as np
import pytest
from pictures import X, vae
from sklearn.datasets import load_digits

from skvae.objectives import ELBO
from skvae.plots import LossCurveDisplay


def test_curves_and_best_epoch(model):
    display = LossCurveDisplay.from_estimator(model)
    training, validation = display.lines_
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(training.get_ydata(), model.loss_curve_)
    np.testing.assert_array_equal(validation.get_ydata(), -np.array(model.validation_scores_))
    assert display.best_.get_ydata() == [-model.best_validation_score_]
    assert display.best_.get_xdata() == [1 + np.argmax(model.validation_scores_)]


def test_the_terms_of_the_loss(model):
    assert LossCurveDisplay.from_estimator(model).terms_ == []
    display = LossCurveDisplay.from_estimator(model, terms=True, label="one")
    reconstruction, kl = display.terms_
    np.testing.assert_array_equal(reconstruction.get_ydata(), model.reconstruction_curve_)
    np.testing.assert_array_equal(kl.get_ydata(), model.kl_curve_)
    labels = [line.get_label() for line in display.lines_ + display.terms_]
    assert labels == [
        "one: training",
        "one: validation",
        "one: reconstruction, -log p(x|z)",
        "one: KL divergence",
    ]
    with pytest.raises(ValueError, match="'terms' must be a bool; got 1"):
        LossCurveDisplay.from_estimator(model, terms=1)


def test_best_epoch_is_of_the_last_stage():
    fitted = vae().fit(X)
    fitted._fitted.training.validation_scores = [-1.0, -3.0, -2.0, -2.5]  # jumps after the first
    fitted._fitted.training.best_validation_score = -2.0
    assert LossCurveDisplay.from_estimator(fitted).best_epoch == 3
    fitted._fitted.training.best_validation_score = -1.5  # of the start of the stage
    assert LossCurveDisplay.from_estimator(fitted).best_ is None


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({}, "negative ELBO"),
        ({"beta": 4}, "negative ELBO, beta = 4"),
        ({"objective": "iwae", "n_draws": 2}, "negative IWAE bound"),
        ({"objective": "iwae", "beta": 0.5}, "negative IWAE bound, beta = 0.5"),
        ({"objective": ELBO(2.0)}, "negative ELBO, beta = 2"),
    ],
    ids=str,
)
def test_label_names_what_was_trained(parameters, name):
    display = LossCurveDisplay.from_estimator(vae(max_iter=1, **parameters).fit(X))
    assert display.ax_.get_ylabel() == f"{name} (nats per row)"


def test_curves_share_a_style_and_stay_apart(model):
    display = LossCurveDisplay.from_estimator(model, label="first", c="gray", lw=1)
    assert display.best_.get_label().startswith("first: best epoch: ")
    assert [line.get_label() for line in display.lines_] == ["first: training", "first: validation"]
    assert [line.get_linestyle() for line in display.lines_] == ["-", "--"]
    assert {(line.get_color(), line.get_linewidth()) for line in display.lines_} == {("gray", 1)}
    dotted = LossCurveDisplay.from_estimator(model, color="gray", ls=":", label=None)
    assert [line.get_label() for line in dotted.lines_] == ["training", "validation"]
    assert [line.get_linestyle() for line in dotted.lines_] == [":", ":"]


def test_a_line_marks_the_end_of_the_epochs_that_find_the_codes(model):
    assert LossCurveDisplay.from_estimator(model).codes_end_ is None  # there are none
    fitted = vae(max_iter=6).fit(load_digits().data[:200])
    display = LossCurveDisplay.from_estimator(fitted)
    assert display.n_iter_codes == fitted.n_iter_codes_ == 4
    assert list(display.codes_end_.get_xdata()) == [4.5, 4.5]
    assert display.ax_.get_legend().get_texts()[-1].get_text() == "codes found, next objective"


def test_without_validation():
    display = LossCurveDisplay.from_estimator(vae(early_stopping=False).fit(X))
    assert len(display.lines_) == 1
    assert display.best_ is None


def test_a_single_epoch_is_a_point():
    display = LossCurveDisplay(loss_curve=[2.0], validation_curve=[3.0]).plot()
    assert [line.get_marker() for line in display.lines_] == [".", "."]
    several = LossCurveDisplay(loss_curve=[2.0, 1.0]).plot()
    assert several.lines_[0].get_marker() == "None"
