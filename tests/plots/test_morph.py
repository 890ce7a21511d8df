import numpy as np
import pytest
from pictures import SHAPE, X, vae

from skvae.plots import MorphAnimation

pillow = pytest.importorskip("PIL.Image")


def test_frames_are_on_straight_lines_between_the_codes(model):
    codes = model.transform(X[:3])
    morph = MorphAnimation.from_estimator(model, codes, SHAPE, n_steps=4)
    assert morph.images.shape == (9, *SHAPE)
    np.testing.assert_allclose(
        morph.images[::4].reshape(3, -1), model.inverse_transform(codes), rtol=1e-5
    )
    middle = model.inverse_transform(codes[:2].mean(0, keepdims=True))
    np.testing.assert_allclose(morph.images[2].reshape(1, -1), middle, rtol=1e-5)


def test_each_frame_is_drawn_on_the_scale_of_all(model):
    morph = MorphAnimation.from_estimator(model, model.transform(X[:2]), SHAPE)
    np.testing.assert_allclose(morph.im_.get_array(), morph.images[-1])  # the last at first
    morph.show_frame(3)
    np.testing.assert_allclose(morph.im_.get_array(), morph.images[3])
    assert morph.im_.get_clim() == (morph.images.min(), morph.images.max())


def test_a_gif_has_all_frames(model, tmp_path):
    morph = MorphAnimation.from_estimator(model, model.transform(X[:3]), SHAPE, n_steps=3)
    assert morph.save(tmp_path / "morph.gif", fps=5, dpi=40) is morph
    width, height = (morph.figure_.get_size_inches() * 40).astype(int)
    with pillow.open(tmp_path / "morph.gif") as gif:
        assert gif.n_frames == 7
        assert gif.size == (width, height)
        assert gif.info["duration"] == 200  # milliseconds
        last = np.asarray(gif.convert("RGB"))
        gif.seek(6)
        assert not np.array_equal(last, np.asarray(gif.convert("RGB")))
    morph.figure_.canvas.draw()


def test_colours(tmp_path):
    rows = np.random.default_rng(0).uniform(size=(40, 12))
    colours = vae().fit(rows)
    morph = MorphAnimation.from_estimator(colours, colours.transform(rows[:2]), (2, 2, 3))
    morph.save(tmp_path / "morph.gif", dpi=20)
    picture = (morph.images - morph.images.min()) / np.ptp(morph.images)
    np.testing.assert_allclose(morph.im_.get_array(), picture[-1], atol=1e-6)


@pytest.mark.parametrize("Z", [[[0.0, 1.0]], [0.0, 1.0]], ids=str)
def test_a_path_needs_two_codes(Z, model):
    with pytest.raises(ValueError, match="'Z' must be at least two codes"):
        MorphAnimation.from_estimator(model, Z, SHAPE)


@pytest.mark.parametrize("fps", [0, -1.0, "10"])
def test_frames_per_second_are_checked(fps, model, tmp_path):
    morph = MorphAnimation.from_estimator(model, model.transform(X[:2]), SHAPE)
    with pytest.raises(ValueError, match=f"'fps' must be a positive finite number; got {fps!r}"):
        morph.save(tmp_path / "morph.gif", fps=fps)
