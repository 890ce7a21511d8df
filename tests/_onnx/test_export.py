"""Files compute what the methods of the estimator compute."""

import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from configurations import own_layers
from torch import nn

from skvae import VAETransformer
from skvae.likelihoods import LIKELIHOODS, Gaussian, Histogram, Likelihood, NormalScores, Poisson
from skvae.networks import MLP, Conv, FromFunction, Network, Recurrent, ResidualMLP

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.filterwarnings(
    "ignore:Posterior collapse", "ignore:Training made the model worse"
)
QUICK = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, "device": "cpu"}
ACCURACY = 1e-5  # relative to the largest value of a column, or to the scale of a component

RNG = np.random.default_rng(0)
N = 600
FACTOR = RNG.normal(size=(N, 1))
REALS = np.array([100.0, -7.0]) + np.array([2.0, 5.0]) * (FACTOR + RNG.normal(size=(N, 2)))
SPIKED = np.where(RNG.random(N) < 0.3, 0.0, np.exp(REALS[:, 1] / 5))
HOURS = np.where(RNG.random(N) < 0.3, 40.0, np.round(RNG.normal(40.0, 12.0, N)))
FORMS = np.stack([SPIKED, HOURS, HOURS / 10, np.round(REALS[:, 0], 1)], axis=1)
LEVELS = np.stack([RNG.choice([-1.0, 0.5, 7.0], N), RNG.integers(0, 2, N)], axis=1)
SHARES = 1 / (1 + np.exp(-FACTOR - RNG.normal(size=(N, 2))))
COUNTS = RNG.poisson(np.exp(1 + 0.5 * FACTOR), size=(N, 3)).astype(float)
TABLES = {
    "gaussian": (None, REALS),
    "gaussian-shared": (Gaussian(scale="shared"), REALS),
    "gaussian-steps": (None, np.round(REALS, 1)),
    "student_t": (None, REALS + 10 * RNG.standard_t(3, size=(N, 2))),
    "log_normal": (None, np.exp(REALS / 10)),
    "bernoulli": (None, (SHARES > 0.5).astype(float)),
    "continuous_bernoulli": (None, SHARES),
    "beta": (None, SHARES),
    "poisson": (None, COUNTS),
    "poisson-library": (Poisson(library_size=True), COUNTS),
    "negative_binomial": (None, COUNTS),
    "categorical": (None, LEVELS),
    "categorical-clustered": (None, np.c_[1.5 * RNG.integers(0, 3000, 6000), RNG.choice(3, 6000)]),
    "ordinal": (None, LEVELS),
    "histogram": (None, FORMS),
    "histogram-coarse": (Histogram(n_bins=9, rows_per_bin=5), FORMS),
    "normal_scores": (None, FORMS),
    "normal_scores-atoms": (NormalScores(rows_per_knot=5), FORMS),
}
SEQUENCES = np.tanh(FACTOR + np.linspace(-1, 1, 12)) + 0.1 * RNG.normal(size=(N, 12))


def with_gaps(X, share=0.2):
    return np.where(np.random.default_rng(1).random(X.shape) < share, np.nan, X)


def run(path, rows):
    """The output of a file for rows of its input."""
    session = onnxruntime.InferenceSession(path)
    [found] = session.run(None, {session.get_inputs()[0].name: rows})
    return found


def assert_close(found, expected, unit=1e-30):
    assert found.shape == expected.shape
    error = np.abs(found - expected) / np.maximum(np.abs(expected).max(axis=0), unit)
    assert error.max() < ACCURACY


def assert_same_as(vae, X, folder):
    """Both files compute the same as the methods of a model of an array, whatever the rows."""
    for method, rows in {"transform": X, "inverse_transform": vae.transform(X)}.items():
        vae.to_onnx(folder / "part.onnx", method)
        expected = getattr(vae, method)(rows)
        for n in (1, 7, len(rows)):
            found = run(folder / "part.onnx", rows[:n])
            assert found.dtype == np.float64
            assert_close(found, expected[:n], vae.scale_ if method == "transform" else 1e-30)


def test_every_likelihood_has_a_table():
    assert {name.partition("-")[0] for name in TABLES} == set(LIKELIHOODS)


@pytest.mark.parametrize("name", TABLES)
def test_every_likelihood(name, tmp_path):
    likelihood, X = TABLES[name]
    X = X if name == "poisson-library" else with_gaps(X)
    vae = VAETransformer(likelihood=likelihood or name.partition("-")[0], **QUICK).fit(X)
    assert_same_as(vae, X[:200], tmp_path)


@pytest.mark.parametrize("name", ["gaussian", "student_t", "normal_scores", "normal_scores-atoms"])
def test_values_beyond_those_of_training(name, tmp_path):
    likelihood, X = TABLES[name]
    vae = VAETransformer(likelihood=likelihood or name, **QUICK).fit(X)
    far = np.quantile(X, [0.0, 1.0], axis=0) + X.std(axis=0) * [[-5.0], [50.0]]
    vae.to_onnx(tmp_path / "encoder.onnx")
    assert_close(run(tmp_path / "encoder.onnx", far), vae.transform(far))


NETWORKS = {
    **{name: MLP((16,), name) for name in ("elu", "relu", "silu", "gelu", "tanh", "identity")},
    "linear": MLP(()),
    "deep": MLP((16, 12, 8), skip=False),
    "residual": ResidualMLP(16, dropout=0.1),
    "conv": Conv((4, 3)),
    "conv-colours": Conv((2, 2, 3), channels=(8,), width=16),
    "gru": Recurrent((6, 2), 8),
    "lstm": Recurrent(12, 8, cell="lstm", bidirectional=False, skip=True),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(name, tmp_path):
    X = with_gaps(SEQUENCES, 0.1)
    vae = VAETransformer(3, encoder=NETWORKS[name], likelihood="gaussian", **QUICK).fit(X)
    assert_same_as(vae, X[:100], tmp_path)


def test_layers_of_torch(tmp_path):
    network = FromFunction(own_layers)
    vae = VAETransformer(3, encoder=network, decoder=network, **QUICK).fit(SEQUENCES)
    assert_same_as(vae, SEQUENCES[:100], tmp_path)


@pytest.mark.parametrize(
    "options", [{"whiten": True}, {"prior": "mixture"}, {"bounds": {0: (0, 1)}}]
)
def test_options_of_the_model(options, tmp_path):
    vae = VAETransformer(2, **options, **QUICK).fit(SHARES)
    assert_same_as(vae, SHARES[:50], tmp_path)


@pytest.mark.touches_global_state
@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_files_do_not_depend_on_the_callers_defaults(method, fitted, tmp_path):
    fitted.to_onnx(tmp_path / "file.onnx", method)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.inference_mode():
            fitted.to_onnx(tmp_path / "same.onnx", method)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert (tmp_path / "file.onnx").read_bytes() == (tmp_path / "same.onnx").read_bytes()


def test_single_precision(tmp_path):
    X = SEQUENCES.astype(np.float32)
    vae = VAETransformer(3, **QUICK).fit(X)
    for method, rows in {"transform": X, "inverse_transform": vae.transform(X)}.items():
        vae.to_onnx(tmp_path / "part.onnx", method, dtype="float32")
        found = run(tmp_path / "part.onnx", rows)
        assert found.dtype == np.float32
        assert_close(found, getattr(vae, method)(rows))


PROGRAM = """
import sys

sys.modules["torch"] = sys.modules["skvae"] = None
import numpy as np
import onnxruntime

[Z] = onnxruntime.InferenceSession("file.onnx").run(None, {"X": np.load("rows.npy")})
np.save("codes.npy", Z)
"""


def test_a_program_without_torch(fitted, wine, tmp_path):
    fitted.to_onnx(tmp_path / "file.onnx")
    np.save(tmp_path / "rows.npy", wine)
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, check=True)
    assert_close(np.load(tmp_path / "codes.npy"), fitted.transform(wine))


# -- data frames --------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "size": REALS[:, 0],
        "kind": pd.Categorical(np.where(FACTOR[:, 0] > 0, "x", RNG.choice(["w", "y"], N))),
        "flag": REALS[:, 1] > -7,
        "day": pd.Timestamp("2024-02-01") + pd.to_timedelta(RNG.integers(0, 300, N), "D"),
        "visits": COUNTS[:, 0].astype(int),
    }
)


@pytest.fixture(scope="module")
def of_frame(tmp_path_factory):
    """A model of a frame with missing values, and the folder of its two files."""
    table = FRAME.astype({"flag": "boolean", "visits": "Int64"}).mask(RNG.random(FRAME.shape) < 0.1)
    vae = VAETransformer(2, **QUICK).fit(table)
    folder = tmp_path_factory.mktemp("files")
    for method in ("transform", "inverse_transform"):
        vae.to_onnx(folder / f"{method}.onnx", method)
    return vae, table, folder


def as_numbers(table, path):
    """A frame as the file takes it, by the metadata of the file alone."""
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    numbers = []
    for column in json.loads(metadata["columns"]):
        cells = table[column["name"]]
        if column["holds"] == "category":
            places = {level: place for place, level in enumerate(column["levels"])}
            cells = [places.get(cell, np.nan) for cell in cells]
        elif column["holds"] == "dates":
            seconds = (cells - pd.Timestamp(0)).dt.total_seconds()
            cells = seconds - column["origin"]
        numbers.append(pd.Series(cells).astype("Float64").to_numpy(float, na_value=np.nan))
    return np.stack(numbers, axis=1)


def test_codes_of_a_frame(of_frame):
    vae, table, folder = of_frame
    path = folder / "transform.onnx"
    assert_close(run(path, as_numbers(table, path)), vae.transform(table))


def test_means_of_a_frame(of_frame):
    vae, table, folder = of_frame
    path = folder / "inverse_transform.onnx"
    Z = vae.transform(table)
    found, expected = run(path, Z), vae.inverse_transform(Z)
    names = ["size", "kind", "day"]
    places = [list(table).index(name) for name in names]
    day, hidden = 86400.0, expected.assign(kind=expected["kind"].astype(str))
    assert_close(found[:, places[0]], expected["size"].to_numpy())
    assert list(np.array(["w", "x", "y"])[found[:, places[1]].astype(int)]) == list(hidden["kind"])
    numbers = as_numbers(expected, path)
    assert np.abs(found[:, places[2]] - numbers[:, places[2]]).max() <= day / 2 + 1  # rounded
    assert np.array_equal(np.rint(found[:, -1]), numbers[:, -1])


def test_the_file_names_its_method_and_arrays(of_frame):
    *_, folder = of_frame
    for method, names in {"transform": ("X", "Z"), "inverse_transform": ("Z", "X")}.items():
        model = onnx.load(folder / f"{method}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert {entry.key: entry.value for entry in model.metadata_props}["method"] == method
        assert (model.graph.input[0].name, model.graph.output[0].name) == names


# -- values that transform refuses or warns about -------------------------------------


def test_an_unseen_level_counts_as_missing(tmp_path):
    vae = VAETransformer(likelihood="categorical", **QUICK).fit(with_gaps(LEVELS))
    vae.to_onnx(tmp_path / "encoder.onnx")
    rows = np.array([[7.0, 1.0], [7.5, 1.0], [np.nan, 1.0]])
    seen, unseen, missing = run(tmp_path / "encoder.onnx", rows)
    assert np.array_equal(unseen, missing)
    assert not np.array_equal(seen, missing)


@pytest.mark.parametrize("value", [-1.0, 0.5, np.inf])
def test_a_value_outside_the_support_counts_as_missing(value, tmp_path):
    vae = VAETransformer(likelihood="poisson", **QUICK).fit(with_gaps(COUNTS))
    vae.to_onnx(tmp_path / "encoder.onnx")
    refused, missing = run(tmp_path / "encoder.onnx", np.array([[value, 1, 2], [np.nan, 1, 2]]))
    assert np.array_equal(refused, missing)


@pytest.mark.filterwarnings("ignore:Column 0 holds")
def test_an_unforeseen_value_counts_as_the_nearest_that_is_allowed(tmp_path):
    X = LEVELS[:, ::-1].copy()  # of 0 and 1, modelled as yes or no
    vae = VAETransformer(**QUICK).fit(X)
    X[:2, 0] = [2.0, -3.0]
    vae.to_onnx(tmp_path / "encoder.onnx")
    assert_close(run(tmp_path / "encoder.onnx", X[:5]), vae.transform(X[:5]))


# -- code of the user's own -------------------------------------------------------------


@dataclass
class Laplace(Likelihood):
    """Laplace density of real numbers, with a scale of 1 in units of the column's deviation."""

    def fit(self, x, weight):
        return {"center": np.median(x, axis=0), "spread": np.abs(x).mean(axis=0)}

    def to_working(self, x, constants):
        return np.arcsinh((x - constants["center"]) / constants["spread"])

    def from_working(self, x, constants):
        return constants["center"] + constants["spread"] * np.sinh(x)

    def log_prob(self, x, outputs, parameters):
        return -(x - outputs).abs() - np.log(2)

    def mean(self, outputs, parameters):
        return outputs

    def sample(self, outputs, parameters, generator):
        u = torch.empty_like(outputs).uniform_(-1, 1, generator=generator)
        return outputs - u.sign() * torch.log1p(-u.abs())


class InPlace(Laplace):
    def to_working(self, x, constants):
        out = np.empty(x.shape)
        out[:] = (x - constants["center"]) / constants["spread"]
        return out


class Unsupported(Laplace):
    def mean(self, outputs, parameters):
        return torch.special.i0(outputs)


class Branches(Laplace):
    def mean(self, outputs, parameters):
        return outputs if outputs.shape[1] == 2 else -outputs


def test_a_custom_likelihood(tmp_path):
    vae = VAETransformer(likelihood=Laplace(), **QUICK).fit(with_gaps(REALS))
    assert_same_as(vae, with_gaps(REALS)[:50], tmp_path)


@pytest.mark.parametrize(
    ("likelihood", "method", "reason"),
    [
        (
            InPlace(),
            "transform",
            r"to_working of InPlace\(\) cannot be recorded: it reads the number",
        ),
        (Unsupported(), "inverse_transform", r"decoder cannot be written in the ONNX.*aten::i0"),
        (Branches(), "inverse_transform", "decoder has other results in the ONNX format"),
    ],
)
def test_a_likelihood_that_cannot_be_written(likelihood, method, reason, tmp_path):
    vae = VAETransformer(likelihood=likelihood, **QUICK).fit(REALS)
    path = tmp_path / "part.onnx"
    path.write_text("as it was")
    with pytest.raises(ValueError, match=reason):
        vae.to_onnx(path, method)
    assert [file.name for file in tmp_path.iterdir()] == ["part.onnx"]
    assert path.read_text() == "as it was"


class TwoRows(nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.linear(x).reshape(len(x), -1).tile(1, 1)


class Fixed(Network):
    def build(self, n_inputs, n_outputs, *, output_gain, generator):
        return TwoRows(n_inputs, n_outputs)


def test_a_network_for_a_fixed_number_of_rows(tmp_path):
    vae = VAETransformer(encoder=Fixed(), decoder=MLP(), **QUICK).fit(REALS)
    with pytest.raises(ValueError, match=r"encoder has other results .* number of rows"):
        vae.to_onnx(tmp_path / "encoder.onnx")
    vae.to_onnx(tmp_path / "decoder.onnx", "inverse_transform")


# -- errors -------------------------------------------------------------------------------


def test_errors(fitted, tmp_path, monkeypatch):
    path = tmp_path / "file.onnx"
    with pytest.raises(ValueError, match="'method' must be one of 'transform', 'inverse_tr"):
        fitted.to_onnx(path, "sample")
    with pytest.raises(ValueError, match="'dtype' must be one of 'float64', 'float32'; got 'int"):
        fitted.to_onnx(path, dtype="int8")
    with pytest.raises(AttributeError, match="not fitted"):
        VAETransformer().to_onnx(path)
    with pytest.raises(FileNotFoundError):
        fitted.to_onnx(tmp_path / "none" / "file.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'pip install "skvae\[onnx\]"'):
        fitted.to_onnx(path)
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced(fitted, wine, tmp_path):
    fitted.to_onnx(str(tmp_path / "file.onnx"))
    fitted.to_onnx(str(tmp_path / "file.onnx"), "inverse_transform")
    assert [file.name for file in tmp_path.iterdir()] == ["file.onnx"]
    assert run(tmp_path / "file.onnx", np.zeros((2, 3))).shape == (2, 13)
