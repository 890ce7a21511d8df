import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import SHAPE, X, tiles, vae

from skvae.callbacks import Snapshots
from skvae.plots import TrainingAnimation

pillow = pytest.importorskip("PIL.Image")

LABELS = np.arange(40) % 3


@pytest.fixture(scope="module")
def snapshots():
    kept = Snapshots(X, grid=2)
    vae(n_components=2, whiten=True).set_callbacks(kept).fit(X)
    return kept


def test_each_frame_shows_a_snapshot(snapshots):
    animation = TrainingAnimation.from_snapshots(snapshots, SHAPE, y=LABELS)
    assert animation.n_frames == 3
    images, codes = animation.axes_
    for number in (2, 0, 1):  # the last is drawn first
        if number < 2:
            animation.show_frame(number)
        assert images.get_title() == f"epoch {number + 1}"
        drawn = tiles(animation, 2, 2).reshape(2, 2, -1)
        np.testing.assert_allclose(drawn, snapshots.decoded_[number], rtol=1e-6)
        offsets = animation.latent_space_.scatter_.get_offsets()
        np.testing.assert_array_equal(offsets, snapshots.codes_[number])
    assert len(animation.latent_space_.legend_.get_texts()) == 3

    animation.figure_.canvas.draw()
    every_code = np.concatenate(snapshots.codes_)
    for (low, high), values in zip((codes.get_xlim(), codes.get_ylim()), every_code.T, strict=True):
        assert low < values.min()
        assert values.max() < high


def test_a_gif_has_all_frames(snapshots, tmp_path):
    animation = TrainingAnimation.from_snapshots(snapshots, SHAPE, y=LABELS)
    animation.save(tmp_path / "training.gif", fps=2, dpi=30)
    with pillow.open(tmp_path / "training.gif") as gif:
        assert gif.n_frames == 3
        assert gif.size == (312, 144)
        assert gif.info["duration"] == 500


def test_codes_or_images_alone(snapshots):
    codes = TrainingAnimation.from_snapshots(snapshots, components=(1, 0))
    assert codes.im_ is None
    np.testing.assert_array_equal(codes.codes[0], snapshots.codes_[0][:, ::-1])
    assert codes.axes_[0].get_xlabel() == "component 1"

    kept = Snapshots(grid=2)
    vae().set_callbacks(kept).fit(X)
    images = TrainingAnimation.from_snapshots(kept, SHAPE)
    assert images.latent_space_ is None
    assert images.axes_[0].get_title() == "epoch 3"
    with pytest.raises(ValueError, match="There is nothing to draw"):
        TrainingAnimation.from_snapshots(kept)


def test_own_figure_and_given_axes(snapshots):
    figure, axes = plt.subplots(1, 3)
    animation = TrainingAnimation.from_snapshots(snapshots, SHAPE, axes=axes[:2])
    assert animation.figure_ is figure
    assert animation.plot() is animation
    assert animation.figure_ is not figure
    with pytest.raises(ValueError, match=r"'axes' must be 2 matplotlib Axes, .* got 3"):
        animation.plot(axes)


@pytest.mark.parametrize("snapshots", [Snapshots(), None], ids=["unfitted", "None"])
def test_there_must_be_snapshots(snapshots):
    with pytest.raises(ValueError, match="with at least one epoch; got"):
        TrainingAnimation.from_snapshots(snapshots, SHAPE)


def test_components_must_be_two_of_those_kept(snapshots):
    with pytest.raises(ValueError, match="'components' must be two different whole numbers from 0"):
        TrainingAnimation.from_snapshots(snapshots, components=(0, 2))
    kept = Snapshots(X, grid=2)
    vae(n_components=1).set_callbacks(kept).fit(X)
    with pytest.raises(ValueError, match="A map of codes needs at least two components"):
        TrainingAnimation.from_snapshots(kept)
