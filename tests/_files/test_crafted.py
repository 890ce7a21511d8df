"""A file with a right hash, but of anything, is refused, or holds a model that can be used."""

import random
import sys
import time

import pytest
from crafted import craft, packed, unpacked
from make_golden import GOLDEN, slug
from saved_models import CASES, model_of, numbers, vae

import skvae
from skvae import ModelFileError

N_FILES, LONGEST = 100, 5.0  # seconds
RUNS_CODE = {"exec", "import", "os.system", "pickle.find_class", "subprocess.Popen"}

seen = None  # the events of Python's audit that run code, while they are listed


def listen(event, arguments):
    if seen is not None and event in RUNS_CODE:
        seen.append((event, *map(repr, arguments)))


sys.addaudithook(listen)


@pytest.fixture
def events():
    global seen
    seen = []
    yield seen
    seen = None


@pytest.mark.filterwarnings("ignore")  # of weights that are not numbers, or of missing devices
@pytest.mark.parametrize("name", ["pandas", "mixture", "recurrent", "gaps", "imputer", "detector"])
def test_crafted_files_are_refused_or_usable(name, tmp_path, events):
    whole, path = GOLDEN / skvae.__version__ / f"{slug(name)}.skvae", tmp_path / "model"
    content = whole.read_bytes()
    X, rng = CASES[name][1](), random.Random(name)
    model_of(skvae.load(whole)).score_samples(X)  # imports what it needs
    events.clear()
    n_refused = 0
    for _ in range(N_FILES):
        path.write_bytes(craft(rng, content))
        start = time.process_time()
        try:
            loaded = skvae.load(path)
        except ModelFileError:
            n_refused += 1
        else:
            scoring = loaded if hasattr(loaded, "score_samples") else model_of(loaded)
            assert scoring.score_samples(X).shape == (len(X),)
        assert time.process_time() - start < LONGEST
    assert 0 < n_refused < N_FILES
    assert not events


CLAIMS = {
    "wide layers": ('"state": [4]}', '"state": [9000, 9000]}', "too few for MLP"),
    "a wide layer": ('"state": [4]}', '"state": [1000000]}', "too few for MLP"),
    "many components": ('[["n_components", 2]]', '[["n_components", 1000000000]]', "from 1 to"),
    "another number of them": ('[["n_components", 2]]', '[["n_components", 3]]', "prior is over"),
    "wide strings": (
        '["n_features_in_", 4]',
        '["n_features_in_", {"kind": "objects", "state": ["<U400000000", [1], ["a"]]}]',
        "would take too much memory",
    ),
    "a method": ('["n_features_in_", 4]', '["score_samples", 4]', "no attribute that fit sets"),
    "other columns": ('["n_features_in_", 4]', '["n_features_in_", 5]', "5 features"),
}


@pytest.mark.parametrize(("old", "new", "message"), CLAIMS.values(), ids=CLAIMS)
def test_false_claims_are_refused(old, new, message, tmp_path):
    path = tmp_path / "model"
    vae().fit(numbers()).save(path)
    text, arrays = unpacked(path.read_bytes())
    assert old in text
    path.write_bytes(packed(text.replace(old, new), arrays))
    with pytest.raises(ModelFileError, match=message):
        skvae.load(path)
