"""Convolutional networks: which pixel is where, any size, and models of images."""

import numpy as np
import pytest
import torch
from modules import build, build_decoder, normal
from sklearn.datasets import load_digits
from torch.nn import functional as F

from skvae import VAETransformer
from skvae.networks import Conv

DIGITS = load_digits().data[:300]


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (8, 8, 3), (3, 16)], ids=str)
@pytest.mark.parametrize("n_stages", [1, 3])
def test_images_of_any_size(shape, n_stages):
    network, d = Conv(shape, [4] * n_stages, width=6), int(np.prod(shape))
    assert build(network, d, 2)(normal(3, d)).shape == (3, 2)
    assert build_decoder(network, 2, d)(normal(3, 2)).shape == (3, d)


def test_an_encoder_sees_neighbouring_pixels_together():
    module, x = build(Conv((6, 9, 2), [3], n_blocks=0), 108), torch.zeros(2, 6, 9, 2)
    x[1, 2, 4, 1] = 1.0
    seen = []
    module.module.stages[0].register_forward_hook(lambda _, __, found: seen.append(found))
    module(x.flatten(1))
    changed = (seen[0][1] - seen[0][0]).abs().sum(0) > 0
    # a kernel of size 3 and stride 2: row 2 is in the second output only, column 4 in the third
    assert changed.nonzero().tolist() == [[1, 2]]


def test_a_decoder_draws_neighbouring_pixels_together():
    module = build_decoder(Conv((6, 8, 2), [3], n_blocks=0, skip=False), 4, 96)

    def linear(x, weight, bias):
        found = F.linear(x, weight, bias)
        if weight is module.hidden.weight:  # (3 rows, 4 columns, 3 channels)
            found.view(32, 3, 4, 3)[1, 1, 2, 0] += 1.0
        return found

    # enough rows that equal ones have equal bits
    one, other, *_ = module.through(linear, normal(1, 4).repeat(32, 1)).view(32, 6, 8, 2)
    changed = (one != other).any(-1).nonzero().tolist()
    # a kernel of size 4, stride 2 and padding 1
    assert changed == [[i, j] for i in range(1, 5) for j in range(3, 7)]
    assert (one != other).any(dim=(0, 1)).all()  # both colours


def test_residual_blocks_are_close_to_the_identity_at_the_start():
    network = Conv((4, 4), (64,), n_blocks=1)
    (block,), h = build(network, 16).module.stages[0][1], normal(5, 64, 4, 4)
    assert 0 < (block(h) - h).std() < 0.2 * h.std()


@pytest.mark.filterwarnings("ignore:Posterior collapse")  # after four epochs
@pytest.mark.parametrize("skip", [None, False])
def test_a_model_of_images_does_all_that_others_do(skip):
    settings = {"likelihood": "gaussian", "max_iter": 4, "random_state": 0}
    network = Conv((8, 8), (8, 8), width=16, skip=skip)
    X = np.where(np.random.default_rng(0).random(DIGITS.shape) < 0.1, np.nan, DIGITS)
    vae = VAETransformer(3, encoder=network, **settings).fit(X)
    assert vae.transform(X).shape == (300, 3)
    assert np.isfinite(vae.score_samples(X[:3])).all()
    imputed = vae.impute(X[:3])
    np.testing.assert_array_equal(imputed[~np.isnan(X[:3])], X[:3][~np.isnan(X[:3])])
    assert vae.sample(2, given={0: 0.0}, random_state=0).shape == (2, 64)


def test_a_convolution_learns_more_than_the_mean_of_images():
    settings = {"likelihood": "gaussian", "max_iter": 10, "random_state": 0}
    vae = VAETransformer(4, encoder=Conv((8, 8), skip=False), **settings).fit(DIGITS)
    found = vae.inverse_transform(vae.transform(DIGITS))
    assert np.square(found - DIGITS).mean() < 0.7 * DIGITS.var(axis=0).mean()


@pytest.mark.parametrize("shape", [(7, 9), (8, 8, 3), (64, 64)], ids=str)
def test_the_shape_must_fit_the_columns(shape):
    vae = VAETransformer(encoder=Conv(shape), max_iter=1)
    product = int(np.prod(shape))
    with pytest.raises(
        ValueError, match=rf"product 64, the number of columns; .* {product}\. Give"
    ):
        vae.fit(DIGITS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_shape", (8,)),
        ("image_shape", 64),
        ("image_shape", (8, 0)),
        ("channels", 3),
        ("channels", (0,)),
        ("channels", ()),
        ("n_blocks", -1),
        ("width", 0),
        ("activation", "cube"),
    ],
)
def test_errors_name_the_parameter(name, value):
    with pytest.raises(ValueError, match=rf"'{name}' of Conv must be"):
        Conv(**{"image_shape": (8, 8)} | {name: value}).check()
