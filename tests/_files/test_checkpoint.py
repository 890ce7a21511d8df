"""A fit that was killed continues, and has the weights of one that was not."""

import numpy as np
import pytest
from saved_models import CASES, mixed, numbers, vae
from sklearn.base import clone
from torch import nn

from skvae import VAETransformer
from skvae._files import checkpoint
from skvae.callbacks._base import EpochCallback
from skvae.networks import FromFunction

pytestmark = [
    pytest.mark.filterwarnings("ignore:Posterior collapse"),  # after few epochs
    pytest.mark.filterwarnings("ignore:Training made the model worse"),
    pytest.mark.filterwarnings("ignore:Training did not improve the model"),
]


class Killed(BaseException):
    """Ends a process, as nothing in the package expects."""


class KillAt(EpochCallback):
    """A callback that kills the fit after some epochs, before the state of the last is kept."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id + 1 == self.epoch:
            raise Killed


@pytest.fixture(autouse=True)
def _after_each_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)


def killed(model, X, epoch, **fit):
    with pytest.raises(Killed):
        clone(model).set_callbacks(KillAt(epoch)).fit(X, **fit)


def assert_same(one, other):
    for name, tensor in one.module_.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), other.module_.state_dict()[name].numpy())
    for curve in ("loss_curve_", "validation_scores_", "learning_rates_"):
        assert getattr(one, curve) == getattr(other, curve)


LONGER = {"max_iter": 9}
MODELS = {
    "defaults": {},
    "stops early": {"max_iter": 40, "n_iter_no_change": 2, "tol": 0.1},
    "without validation": {"early_stopping": False, "learning_rate": "cosine"},
    "average": {"average": 2.0},
    "iwae": {"objective": "iwae", "n_draws": 3, "dropout": 0.2},
    "mixture": {"prior": "mixture"},
}


@pytest.mark.parametrize(
    ("table", "settings"),
    [(mixed, {}), *((numbers, settings) for settings in MODELS.values())],
    ids=["mixed", *MODELS],
)
def test_a_killed_fit_goes_on(table, settings, tmp_path):
    X, settings = table(), LONGER | settings
    model = vae(**settings, checkpoint=tmp_path / "new folder")
    n_killed = 0
    while True:
        resumed = clone(model).set_callbacks(KillAt(3))  # two epochs further each time
        try:
            resumed.fit(X)
        except Killed:
            n_killed += 1
            assert list(tmp_path.rglob("*.checkpoint"))
        else:
            break
    assert n_killed > 0
    assert_same(vae(**settings).fit(X), resumed)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("name", ["conv", "recurrent", "residual", "imputer"])
def test_other_networks_and_estimators_go_on(name, tmp_path):
    estimator, table = CASES[name]
    X, model = table(), clone(model_of_unfitted(estimator)).set_params(max_iter=4)
    whole = clone(model).fit(X)
    kept = clone(model).set_params(checkpoint=str(tmp_path))
    killed(kept, X, 3)
    assert_same(whole, kept.fit(X))


def model_of_unfitted(estimator):
    return estimator if isinstance(estimator, VAETransformer) else estimator.estimator


def test_a_warm_start_goes_on(tmp_path):
    X = numbers()
    whole = vae(warm_start=True, max_iter=3).fit(X).set_params(max_iter=7).fit(X)
    model = vae(warm_start=True, max_iter=3).fit(X)
    model.set_params(max_iter=7, checkpoint=tmp_path)
    with pytest.raises(Killed):
        model.set_callbacks(KillAt(3)).fit(X)
    model.set_callbacks().fit(X)
    assert_same(whole, model)


def test_fits_of_other_rows_settings_or_weights_start_anew(tmp_path):
    X = numbers()
    model = vae(**LONGER, checkpoint=tmp_path)
    killed(model, X, 5)
    weight = np.arange(len(X)) % 2 + 1
    for other, rows, fit in [
        (model, X[:-1], {}),
        (clone(model).set_params(random_state=1), X, {}),
        (clone(model).set_params(beta=2.0), X, {}),
        (model, X, {"sample_weight": weight}),
        (model, X, {"X_val": X[::3]}),
    ]:
        same = clone(other).set_params(checkpoint=None).fit(rows, **fit)
        assert_same(same, clone(other).fit(rows, **fit))
    assert len(list(tmp_path.iterdir())) == 1  # that of the killed fit


def test_the_order_of_rows_does_not_matter(tmp_path):
    X = numbers()
    model = vae(**LONGER, checkpoint=tmp_path)
    killed(model, X, 5)
    resumed = clone(model).fit(X[::-1])
    assert not list(tmp_path.iterdir())
    assert_same(vae(**LONGER).fit(X), resumed)


def test_a_damaged_file_is_not_used(tmp_path):
    model = vae(**LONGER, checkpoint=tmp_path)
    killed(model, numbers(), 5)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"checkpoint is damaged, and the fit starts from the"):
        again = clone(model).fit(numbers())
    assert_same(vae(**LONGER).fit(numbers()), again)


def test_other_units_and_other_code_start_anew(tmp_path):
    X = numbers()
    model = vae(**LONGER, checkpoint=tmp_path)
    killed(model, X, 5)
    assert_same(vae(**LONGER).fit(1000 * X), clone(model).fit(1000 * X))

    def custom(slope):
        def layers(n_inputs, n_outputs):
            return nn.Sequential(nn.Linear(n_inputs, n_outputs), nn.LeakyReLU(slope))

        return {"encoder": FromFunction(layers), "decoder": FromFunction(layers)}

    killed(vae(**LONGER, checkpoint=tmp_path, **custom(0.1)), X, 5)
    again = vae(**LONGER, checkpoint=tmp_path, **custom(0.5)).fit(X)
    assert_same(vae(**LONGER, **custom(0.5)).fit(X), again)


def test_a_lambda_is_refused_with_its_remedy(tmp_path):
    model = vae(checkpoint=tmp_path, learning_rate=lambda progress: 1.0)
    with pytest.raises(ValueError, match=r"With checkpoint, .*Write a lambda as a function by def"):
        model.fit(numbers())


def test_training_goes_on_without_room(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "write_archive", full)
    with pytest.warns(UserWarning, match=r"checkpoint was not written: No space"):
        vae(**LONGER, checkpoint=tmp_path).fit(numbers())


def test_a_seed_is_needed(tmp_path):
    with pytest.raises(ValueError, match="random_state must be an int"):
        vae(random_state=None, checkpoint=tmp_path).fit(numbers())


def test_files_are_written_for_a_small_share_of_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARE", 0.5)
    now = iter([0.0, 1.0, 2.0, 2.5, 3.0, 5.0, 6.0])
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: next(now))
    written = []
    monkeypatch.setattr(checkpoint, "write_archive", lambda *_: written.append(1))
    kept = checkpoint.Checkpoint(tmp_path, [])
    for expected in (1, 1, 1, 2):  # a second to write, so the next one is two seconds later
        kept.offer(lambda: None)
        assert len(written) == expected


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"checkpoint must be a folder.*file"):
        vae(checkpoint=tmp_path / "file").fit(numbers())
