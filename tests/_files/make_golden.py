"""Write the golden files of this version, which all later versions must load. Run it at a release.

    python tests/_files/make_golden.py

The models are those of saved_models.py, after one or two epochs. scores.npz has their scores of the
rows by few draws, which all come from the encoder's posterior: how others are drawn may change.
"""

import re
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone

FOLDER = Path(__file__).parent
GOLDEN = FOLDER / "golden"


def main():
    sys.path += [str(FOLDER), str(FOLDER.parent)]
    from saved_models import CASES, scores_of

    import skvae

    folder = GOLDEN / skvae.__version__
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    scores = {}
    for name, (estimator, table) in CASES.items():
        X = table()
        fitted = clone(estimator).fit(X)
        fitted.save(folder / f"{slug(name)}.skvae")
        scores[slug(name)] = scores_of(fitted, X)
    np.savez_compressed(folder / "scores.npz", **scores)


def slug(name):
    return re.sub(r"\W+", "_", name)


if __name__ == "__main__":
    main()
