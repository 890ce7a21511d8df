"""A model comes back from its file as it was, and no other file is taken for one."""

import errno
import os
import pickle
import stat

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from configurations import ESTIMATORS
from safetensors.numpy import save
from saved_models import CASES, CUSTOM, model_of, numbers, vae
from sklearn.base import clone
from torch import nn

import skvae
from skvae import ModelFileError, VAEImputer, VAETransformer, _disk
from skvae._files import archive
from skvae.likelihoods import Gaussian
from skvae.networks import FromFunction

pytestmark = [
    pytest.mark.filterwarnings("ignore:Posterior collapse"),  # after two epochs
    pytest.mark.filterwarnings("ignore:Training made the model worse"),
    pytest.mark.filterwarnings("ignore:Training did not improve the model"),
]


@pytest.fixture(scope="module", params=CASES)
def case(request):
    estimator, table = CASES[request.param]
    X = table()
    return clone(estimator).fit(X), X


@pytest.fixture(scope="module", params=ESTIMATORS)
def configuration(request):
    return clone(ESTIMATORS[request.param]).fit(numbers())


def assert_same_model(one, other, X):
    assert type(one) is type(other)
    assert repr(one.get_params()) == repr(other.get_params())
    assert_same_learnt(one, other, X)


def assert_same_learnt(one, other, X):
    one, other = model_of(one), model_of(other)
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    draws = [model.sample(5, random_state=0) for model in (one, other)]
    assert type(draws[0]) is type(draws[1])
    if isinstance(draws[0], pd.DataFrame):
        pd.testing.assert_frame_equal(*draws)
    elif hasattr(draws[0], "equals"):
        assert draws[0].equals(draws[1])
    else:
        np.testing.assert_array_equal(*draws)


def test_a_saved_model_is_the_same(case, tmp_path):
    estimator, X = case
    estimator.save(tmp_path / "model.skvae")
    assert_same_model(estimator, skvae.load(tmp_path / "model.skvae"), X)


def test_a_saved_configuration_is_the_same(configuration, tmp_path):
    configuration.save(tmp_path / "model.skvae")
    loaded = skvae.load(tmp_path / "model.skvae", custom=CUSTOM)
    assert_same_model(configuration, loaded, numbers())


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_a_pickled_model_is_the_same_and_has_the_same_hash(case, library):
    estimator, X = case
    other = library.loads(library.dumps(estimator))
    assert_same_model(estimator, other, X)
    assert joblib.hash(estimator) == joblib.hash(other)


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_a_pickled_configuration_is_the_same(configuration, library):
    loaded = library.loads(library.dumps(configuration))
    assert_same_model(configuration, loaded, numbers())


def test_cloudpickle_keeps_a_lambda():
    model = vae(learning_rate=lambda progress: 1 - progress / 2).fit(numbers())
    loaded = pickle.loads(cloudpickle.dumps(model))
    assert_same_learnt(model, loaded, numbers())
    assert loaded.learning_rate(1.0) == 0.5


def test_skops_keeps_a_model(case):
    estimator, X = case
    if "bounds" in estimator.get_params() and "zoned" in estimator.bounds:
        pytest.skip("skops keeps no Timestamp of pandas")
    content = skops.io.dumps(estimator)
    trusted = skops.io.get_untrusted_types(data=content)
    assert_same_model(estimator, skops.io.loads(content, trusted=trusted), X)


def test_a_model_maps_its_arrays_from_a_file(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert_same_model(fitted, mapped, numbers())


def test_training_goes_on_from_a_file(tmp_path):
    X = numbers()
    model = vae(warm_start=True).fit(X)
    model.save(tmp_path / "model.skvae")
    other = skvae.load(tmp_path / "model.skvae")
    for one in (model, other):
        one.set_params(max_iter=4).fit(X)
    assert_same_model(model, other, X)


def test_moments_are_kept_only_if_training_is_to_go_on():
    X = numbers()
    assert vae().fit(X)._fitted.training.optimizer is None
    assert vae(warm_start=True).fit(X)._fitted.training.optimizer is not None
    assert vae().partial_fit(X)._fitted.training.optimizer is not None


def test_a_random_state_is_kept(tmp_path):
    model = VAETransformer(2, max_iter=1, random_state=np.random.RandomState(1)).fit(numbers())
    model.save(tmp_path / "model")
    assert skvae.load(tmp_path / "model").random_state.normal() == model.random_state.normal()


def test_the_kind_of_output_is_kept(tmp_path):
    model = vae().fit(numbers()).set_output(transform="pandas")
    model.save(tmp_path / "model")
    assert isinstance(skvae.load(tmp_path / "model").transform(numbers()), pd.DataFrame)


# -- code of the user's own ---------------------------------------------------------


def layers(n_inputs, n_outputs):
    return nn.Linear(n_inputs, n_outputs)


def falling(progress):
    return 1 - progress / 2


class Wide(Gaussian):
    pass


class Own(VAETransformer):
    pass


@pytest.mark.parametrize(
    ("model", "custom"),
    [
        (vae(encoder=FromFunction(layers), decoder=FromFunction(layers)), {"layers": layers}),
        (vae(learning_rate=falling), {"falling": falling}),
        (vae(likelihood=Wide()), {"Wide": Wide}),
        (Own(2, max_iter=1, random_state=0), {"Own": Own}),
        (VAEImputer(Own(2, max_iter=1, random_state=0)), {"Own": Own}),
    ],
    ids=["layers", "schedule", "likelihood", "estimator", "within an estimator"],
)
def test_own_code_is_passed_to_load(model, custom, tmp_path):
    X = numbers()
    path = tmp_path / "model"
    clone(model).fit(X).save(path)
    [name] = custom
    with pytest.raises(ModelFileError, match=rf"holds {name}, .* load the file with custom"):
        skvae.load(path)
    assert_same_model(clone(model).fit(X), skvae.load(path, custom=custom), X)


def test_two_functions_of_one_name_are_refused(tmp_path):
    def layers_of(kind):
        def layers(n_inputs, n_outputs):
            return nn.Sequential(kind(), nn.Linear(n_inputs, n_outputs))

        return FromFunction(layers)

    model = vae(encoder=layers_of(nn.Tanh), decoder=layers_of(nn.ReLU)).fit(numbers())
    with pytest.raises(TypeError, match="two functions or classes that are named 'layers'"):
        model.save(tmp_path / "model")


def test_a_function_that_builds_other_layers_is_refused(tmp_path):
    def layers(n_inputs, n_outputs):
        return nn.Sequential(nn.Linear(n_inputs, 3), nn.Linear(3, n_outputs))

    network = FromFunction(globals()["layers"])
    vae(encoder=network, decoder=network).fit(numbers()).save(tmp_path / "model")
    with pytest.raises(ModelFileError, match="Pass as custom what was saved"):
        skvae.load(tmp_path / "model", custom={"layers": layers})


def test_a_function_is_not_called_in_place_of_a_class(tmp_path):
    vae(likelihood=Wide()).fit(numbers()).save(tmp_path / "model")
    with pytest.raises(ModelFileError, match=r"custom\['Wide'\] must be the class that was saved"):
        skvae.load(tmp_path / "model", custom={"Wide": print})


def test_a_lambda_is_refused(tmp_path):
    model = vae(learning_rate=lambda progress: 1.0).fit(numbers())
    with pytest.raises(TypeError, match=r"cannot be saved, since it holds <function .*lambda"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


# -- files --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    return vae().fit(numbers())


@pytest.fixture
def path(fitted, tmp_path):
    fitted.save(tmp_path / "model.skvae")
    return tmp_path / "model.skvae"


def test_a_file_has_ordinary_permissions_and_no_pickle(path):
    old = os.umask(0)
    os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~old
    assert [one.name for one in path.parent.iterdir()] == ["model.skvae"]
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(path.read_bytes())


def test_a_file_keeps_its_permissions(fitted, path):
    path.chmod(0o600)
    fitted.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_error_names_the_folder(fitted, path):
    with pytest.raises(FileNotFoundError, match="missing'"):
        fitted.save(path.parent / "missing" / "model")
    with pytest.raises(IsADirectoryError, match=path.parent.name):
        fitted.save(path.parent)


def test_only_a_file_is_replaced(fitted, path):
    os.mkfifo(path.with_name("pipe"))
    with pytest.raises(OSError, match=r"Only a regular file.*pipe"):
        fitted.save(path.with_name("pipe"))
    assert path.with_name("pipe").is_fifo()


def test_a_file_that_was_cut_off_is_not_called_a_pickle(fitted, path):
    fitted.save(path)
    content = b"\x80\x04" + path.read_bytes()[2:-100]
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="is not a file of a model, or was cut off"):
        skvae.load(path)
    path.write_bytes(pickle.dumps(fitted))
    with pytest.raises(ModelFileError, match="is a pickle"):
        skvae.load(path)


def test_a_link_stays_a_link(fitted, path):
    link = path.with_name("link")
    link.symlink_to(path)
    fitted.save(link)
    assert link.is_symlink()
    assert_same_model(fitted, skvae.load(link), numbers())


def test_an_error_leaves_the_old_file(fitted, path, monkeypatch):
    before = path.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_disk.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fitted.save(path)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["model.skvae"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a file of a model, or was cut off"),
        (b"PK\x03\x04" + bytes(100), "is not a file of a model, or was cut off"),
        (pickle.dumps([1, 2]), "is a pickle"),
        (save({"x": np.zeros(3)}), "is not a file of a model of skvae"),
        (save({"x": np.zeros(3)}, {"format": "other 1"}), "is not a file of a model of skvae"),
        (save({}, {"format": "skvae 999"}), r"has format 999, and .* reads formats up to"),
        (save({}, {"format": "skvae 1"}), "was changed after it was saved"),
    ],
    ids=["empty", "zip", "pickle", "safetensors", "other", "newer", "no hash"],
)
def test_other_files_are_refused(content, message, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        skvae.load(tmp_path / "file")


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        skvae.load(tmp_path / "file")
    with pytest.raises(OSError, match="directory"):
        skvae.load(tmp_path)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (1, "does not hold an estimator"),
        ({"kind": "os.system", "state": "ls"}, "holds os.system, which this version"),
        ({"kind": "custom", "name": "f"}, r"holds f, .*custom=\{'f'"),
        ({"kind": "array", "name": "a"}, "does not fit this version"),
        ({"state": 1}, "does not fit this version"),
        ({"kind": "Phase", "state": {"kind": "dict", "state": [["no", 1]]}}, "does not fit"),
    ],
    ids=["number", "unknown kind", "unknown name", "no array", "no kind", "unknown field"],
)
def test_descriptions_of_something_else_are_refused(description, message, tmp_path):
    archive.write_archive(tmp_path / "file", archive.Archive(description, {}))
    with pytest.raises(ModelFileError, match=message):
        skvae.load(tmp_path / "file")


def test_altered_files_are_refused(fitted, path):
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        altered = bytearray(content)
        at = int(rng.integers(len(altered)))
        if rng.random() < 0.3:
            altered = altered[:at]
        else:
            altered[at] ^= int(rng.integers(1, 256))
        path.write_bytes(altered)
        try:
            loaded = skvae.load(path)
        except ModelFileError:
            continue
        assert_same_model(fitted, loaded, numbers())  # spaces that pad the header


def test_custom_must_be_a_dict(tmp_path):
    with pytest.raises(TypeError, match=r"'custom' must be a dict .* got \["):
        skvae.load(tmp_path / "file", custom=["layers"])
    with pytest.raises(ValueError, match=r"'path' must be a path; got None"):
        skvae.load(None)
