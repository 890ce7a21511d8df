"""Files of every release load, and give the scores that they gave then."""

import numpy as np
import pytest
from make_golden import GOLDEN, slug
from saved_models import CASES, CUSTOM, scores_of

import skvae

FILES = sorted(GOLDEN.glob("*/*.skvae"))
LARGEST = 2_000_000  # bytes of all of them


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_file_of_a_release_loads(path):
    [table] = [table for name, (_, table) in CASES.items() if slug(name) == path.stem]
    expected = np.load(path.parent / "scores.npz")[path.stem]
    found = scores_of(skvae.load(path, custom=CUSTOM), table())
    # another processor, or another version of a library, rounds differently
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_all_cases_have_a_file():
    latest = [path.stem for path in FILES if path.parent.name == skvae.__version__]
    assert sorted(map(slug, CASES)) == latest


def test_golden_files_are_small():
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*")) < LARGEST
