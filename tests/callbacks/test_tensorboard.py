import csv
import io
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from small import DIGITS, LABELS, vae

from skvae.callbacks import TensorBoardLogger

pytest.importorskip("tensorboard")
pillow = pytest.importorskip("PIL.Image")


def read(folder):
    """The log of a folder, as tensorboard reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def values(log, tag):
    return [event.value for event in log.Scalars(tag)]


@pytest.fixture
def logged(tmp_path):
    logger = TensorBoardLogger(tmp_path, X=DIGITS[:12], y=LABELS[:12], image_shape=(8, 8), every=2)
    fitted = vae(early_stopping=False).set_callbacks(logger).fit(DIGITS, X_val=DIGITS[:20])
    return fitted, read(tmp_path)


def test_scalars_are_those_of_the_estimator(logged):
    fitted, log = logged
    for tag, expected in {
        "training/loss": fitted.loss_curve_,
        "training/reconstruction": fitted.reconstruction_curve_,
        "training/kl": fitted.kl_curve_,
        "training/learning_rate": fitted.learning_rates_,
        "validation/score": fitted.validation_scores_,
    }.items():
        assert values(log, tag) == pytest.approx(expected, rel=1e-6)
        assert [event.step for event in log.Scalars(tag)] == [1, 2, 3, 4, 5, 6]
    last = sorted(values(log, f"kl_by_component/{k}")[-1] for k in range(2))
    np.testing.assert_allclose(last, np.sort(fitted.kl_divergence_), rtol=1e-5)


def test_images_are_pictures_of_the_rows(logged):
    _, log = logged
    for tag, shape in {"prior": (71, 71), "reconstructions": (17, 89)}.items():
        events = log.Images(tag)
        assert [event.step for event in events] == [2, 4, 6]
        picture = np.asarray(pillow.open(io.BytesIO(events[-1].encoded_image_string)))
        assert picture.shape[:2] == shape
        assert picture.max() == 255
    first = picture[:8, :8].reshape(8, 8, -1)[..., 0]  # a row of the table, above its image
    assert np.corrcoef(first.ravel(), DIGITS[0])[0, 1] > 0.99


def test_the_graph_and_the_projector(logged, tmp_path):
    fitted, log = logged
    names = [node.name for node in _graph(log).node]
    assert any("encoder" in name for name in names)
    assert any("decoder" in name for name in names)

    (folder,) = tmp_path.glob("*/codes")
    with open(folder / "tensors.tsv", newline="") as file:
        codes = np.array(list(csv.reader(file, delimiter="\t")), dtype=float)
    np.testing.assert_allclose(codes, fitted.transform(DIGITS[:12]), rtol=1e-4, atol=1e-4)
    labels = (folder / "metadata.tsv").read_text().split()
    assert labels == [str(label) for label in LABELS[:12]]
    with pillow.open(folder / "sprite.png") as sprite:
        assert sprite.size == (32, 32)  # 4 x 4 places for 12 images


def _graph(log):
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    graph = GraphDef()
    graph.ParseFromString(log._graph)
    return graph


def test_a_table_needs_no_images(wine, tmp_path):
    logger = TensorBoardLogger(tmp_path, X=wine[:9], graph=False)
    fitted = vae().set_callbacks(logger).fit(wine)
    log = read(tmp_path)
    assert log.Tags()["images"] == []
    assert not log.Tags()["graph"]
    assert len(values(log, "training/loss")) == fitted.n_iter_
    assert [path.name for path in tmp_path.glob("*/codes/*")] == ["tensors.tsv"]


def test_colours(tmp_path):
    X = np.random.default_rng(0).uniform(size=(40, 12))
    vae().set_callbacks(TensorBoardLogger(tmp_path, X=X[:3], image_shape=(2, 2, 3))).fit(X)
    encoded = read(tmp_path).Images("prior")[0].encoded_image_string
    assert np.asarray(pillow.open(io.BytesIO(encoded))).shape == (23, 23, 3)


def test_sparse_rows(tmp_path):
    logger = TensorBoardLogger(tmp_path, X=csr_array(DIGITS[:5]), image_shape=(8, 8))
    vae(max_iter=1).set_callbacks(logger).fit(csr_array(DIGITS))
    log = read(tmp_path)
    assert set(log.Tags()["images"]) == {"prior", "reconstructions"}
    assert [path.name for path in tmp_path.glob("*/codes/*.png")] == ["sprite.png"]


def test_each_fit_of_a_search_has_a_folder(wine, tmp_path):
    logger = TensorBoardLogger(tmp_path, graph=False)
    pipeline = make_pipeline(MinMaxScaler(), vae(max_iter=2).set_callbacks(logger))
    GridSearchCV(pipeline, {}, cv=2).fit(wine)
    folders = {path.parent.name for path in tmp_path.rglob("events*")}
    assert len(folders) == 3  # two folds, and the refit
    for folder in folders:
        assert len(values(read(tmp_path / folder), "training/loss")) == 2


def test_the_log_is_closed_if_a_fit_fails(wine, tmp_path):
    logger = TensorBoardLogger(tmp_path)
    diverging = vae(learning_rate_init=1e20, gradient_clip=None).set_callbacks(logger)
    with pytest.raises(ValueError, match="diverged"):
        diverging.fit(wine)
    assert logger._writers == {}


def test_errors(wine, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="'every' must be a whole number of at least 1; got 0"):
        vae().set_callbacks(TensorBoardLogger(tmp_path, every=0)).fit(wine)
    with pytest.raises(ValueError, match="'image_shape' must have the product 13"):
        vae().set_callbacks(TensorBoardLogger(tmp_path, X=wine, image_shape=(8, 8))).fit(wine)
    assert not list(tmp_path.iterdir())  # before the log is opened
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r'pip install "skvae\[logs\]"'):
        vae().set_callbacks(TensorBoardLogger(tmp_path)).fit(wine)
