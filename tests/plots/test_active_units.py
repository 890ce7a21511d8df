import numpy as np
import pytest
from pictures import FRAME, X, vae

from skvae.plots import ActiveUnitsDisplay


def test_divergence_from_the_standard_normal(pipeline):
    scaler, model = pipeline
    display = ActiveUnitsDisplay.from_estimator(pipeline, FRAME[:20], hatch="/")
    posterior = model.latent_distribution(scaler.transform(FRAME[:20]))
    mean, std = (part / model.scale_ for part in posterior)
    expected = np.mean((mean**2 + std**2 - 1) / 2 - np.log(std), axis=0)
    np.testing.assert_allclose(display.kl_divergence, expected, rtol=1e-6)
    np.testing.assert_array_equal(display.bars_.datavalues, display.kl_divergence)
    assert {bar.get_hatch() for bar in display.bars_} == {"/"}


@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_training_rows_have_the_divergence_of_fit(prior):
    model = vae(prior=prior, n_components=3, early_stopping=False).fit(X)
    display = ActiveUnitsDisplay.from_estimator(model, X)
    np.testing.assert_allclose(display.kl_divergence, model.kl_divergence_, rtol=1e-4)


def test_active_components_have_a_colour():
    display = ActiveUnitsDisplay(kl_divergence=[2.0, 0.011, 0.009]).plot()
    np.testing.assert_array_equal(display.is_active_, [True, True, False])
    colors = [bar.get_facecolor() for bar in display.bars_]
    assert colors[0] == colors[1] != colors[2]
    assert display.ax_.get_title() == "2 of 3 components are active"


def test_labels_of_many_components():
    display = ActiveUnitsDisplay(kl_divergence=np.ones(100)).plot()
    assert len(display.ax_.get_xticks()) == 20
