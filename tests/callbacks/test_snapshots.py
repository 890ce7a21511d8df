import numpy as np
import pytest
from scipy.stats import norm
from sklearn.datasets import load_wine
from small import DIGITS, vae

from skvae.callbacks import Snapshots


def test_codes_and_decoded_codes_of_each_snapshot():
    snapshots = Snapshots(DIGITS[:5], grid=3)
    fitted = vae(early_stopping=False).set_callbacks(snapshots).fit(DIGITS)
    assert snapshots.epochs_ == [1, 2, 3, 4, 5, 6]
    assert {codes.shape for codes in snapshots.codes_} == {(5, 2)}
    assert {rows.shape for rows in snapshots.decoded_} == {(3, 3, 64)}
    assert not np.allclose(snapshots.decoded_[0], snapshots.decoded_[1])

    # the last epoch ends training, and then the components are put in order
    order, sign = fitted.module_.components.order, fitted.module_.components.sign
    last = snapshots.codes_[-1][:, order] * sign.numpy()
    np.testing.assert_allclose(last, fitted.transform(DIGITS[:5]), rtol=1e-4)
    z = np.zeros((1, 2))
    np.testing.assert_allclose(
        snapshots.decoded_[-1][1, 1], fitted.inverse_transform(z)[0], rtol=1e-4, atol=1e-4
    )


def test_a_grid_covers_the_prior():
    snapshots = Snapshots(grid=4)
    vae(whiten=True, max_iter=1).set_callbacks(snapshots).fit(DIGITS)
    assert snapshots.codes_ == []
    z = norm.ppf((np.arange(4) + 0.5) / 4)
    own = np.array([[(x, y) for x in z] for y in z[::-1]])  # component 1 upwards
    given = Snapshots(grid=own)
    vae(whiten=True, max_iter=1).set_callbacks(given).fit(DIGITS)
    np.testing.assert_array_equal(given.decoded_, snapshots.decoded_)


def test_more_components_are_drawn_from_the_prior():
    snapshots = Snapshots(grid=2)
    vae(n_components=3, max_iter=2).set_callbacks(snapshots).fit(load_wine().data)
    first, second = snapshots.decoded_
    assert first.shape == second.shape == (2, 2, 13)
    assert len(np.unique(first[..., 0])) == 4


@pytest.mark.parametrize(
    ("per_decade", "expected"),
    [(1, [1, 10, 100]), (3, [1, 2, 5, 10, 22, 46, 100]), (10, [1, 2, 3, 4, 5, 6, 8, 10, 13, 16])],
)
def test_epochs_are_spaced_logarithmically(per_decade, expected):
    due = [epoch for epoch in range(1, 101) if Snapshots(per_decade=per_decade)._is_due(epoch)]
    assert due[: len(expected)] == expected


def test_each_fit_starts_anew():
    snapshots = Snapshots(grid=2)
    fitted = vae(warm_start=True, max_iter=2).set_callbacks(snapshots).fit(DIGITS)
    assert snapshots.epochs_ == [1, 2]
    fitted.set_params(max_iter=4).fit(DIGITS)
    assert snapshots.epochs_ == [3, 4]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"grid": 1}, "'grid' must be a whole number of at least 2; got 1"),
        (
            {"grid": np.zeros((3, 3, 4))},
            r"axis of 'grid' must be n_components=2; .*\(3, 3, 4\)",
        ),
        ({"per_decade": 0}, "'per_decade' must be a whole number of at least 1; got 0"),
    ],
    ids=str,
)
def test_parameters_are_checked(arguments, match):
    with pytest.raises(ValueError, match=match):
        vae().set_callbacks(Snapshots(**arguments)).fit(DIGITS)
