"""Load an estimator from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from skvae._disk import PATH
from skvae._estimators.imputer import VAEImputer
from skvae._estimators.outlier import VAEOutlierDetector
from skvae._estimators.saving import SavedEstimator, kind_of_estimator
from skvae._estimators.transformer import VAETransformer
from skvae._files.archive import UPGRADE, ModelFileError, read_archive
from skvae._files.kinds import KINDS
from skvae._files.tree import Tree, Unknown, from_tree

ESTIMATORS = VAETransformer, VAEImputer, VAEOutlierDetector


def load(path: str | os.PathLike[str], *, custom: Mapping[str, Any] | None = None) -> Any:
    """Load an estimator from a file that its ``save`` wrote.

    No code in the file is run. A model that was on a GPU is on the CPU if there is none. The loaded
    model scores one row, which shows whether the parts of the file fit each other.

    Parameters
    ----------
    path : str or path
    custom : dict, default=None
        The custom functions and classes that the estimator used, by their names, such as
        ``{"layers": layers}``.

    Returns
    -------
    estimator : VAETransformer, VAEImputer or VAEOutlierDetector

    Raises
    ------
    TypeError, ValueError
        If ``custom`` is not a dict, or ``path`` is not a path.
    OSError
        If there is no such file, or it cannot be read.
    ModelFileError
        If the file is not a whole, unchanged model that this version of skvae can load, if its
        parts do not fit each other, or if ``custom`` lacks a name.

    Examples
    --------
    >>> import os, tempfile
    >>> import skvae
    >>> from sklearn.datasets import load_wine
    >>> X = load_wine().data
    >>> vae = skvae.VAETransformer(max_iter=5, random_state=0).fit(X)
    >>> path = os.path.join(tempfile.mkdtemp(), "wine.skvae")
    >>> vae.save(path)
    >>> bool((skvae.load(path).score_samples(X) == vae.score_samples(X)).all())
    True
    """
    PATH.check("'path'", path)
    if not isinstance(custom, Mapping | None):
        raise TypeError(
            "'custom' must be a dict of functions and classes by their names, such as "
            f"{{'layers': layers}}; got {custom!r}."
        )
    custom = dict(custom or {})
    own = [made for made in custom.values() if _is_estimator(made)]
    kinds = {made.__name__: kind_of_estimator(made) for made in [*ESTIMATORS, *own]}
    archive = read_archive(path)
    try:
        estimator = from_tree(Tree(*archive, custom), KINDS | kinds)
        _check_parts(estimator)
    except Unknown as error:
        raise ModelFileError(
            f"{os.fspath(path)!r} holds {error}, which this version of skvae does not know. If it "
            f"is a custom function or class, load the file with custom={{{str(error)!r}: ...}}. "
            "If not, install the version of skvae that wrote the file, or a later one."
        ) from error
    except ImportError as error:
        raise ModelFileError(
            f"{os.fspath(path)!r} needs a library that is not installed: {error}."
        ) from error
    except Warning:  # which the caller made an error
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ModelFileError(
            f"{os.fspath(path)!r} needs more memory than there is: {error}"
        ) from error
    except Exception as error:  # whatever the libraries raise for values that they do not take
        reason = str(error).rstrip(".") or type(error).__name__
        remedy = "Pass as custom what was saved. If you did: " if custom else ""
        raise ModelFileError(
            f"{os.fspath(path)!r} does not fit this version of skvae: {reason}. {remedy}{UPGRADE}"
        ) from error
    return estimator


def _check_parts(estimator: Any) -> None:
    """Raise an error if the parts of an estimator do not fit each other.

    It encodes and scores a row that holds the smallest training value of each column.
    """
    if not isinstance(estimator, SavedEstimator):
        raise TypeError("it does not hold an estimator")
    model: Any = getattr(estimator, "estimator_", estimator)
    fitted = model._fitted
    table, dtype = model._checked(fitted.container.wrap(fitted.columns.origin[None]))
    fitted.codes(table, dtype)
    fitted.log_likelihood(table, dtype, n_draws=1)
    fitted.columns.sum_of_log_units(table)  # which VAEOutlierDetector adds


def _is_estimator(made: Any) -> bool:
    return isinstance(made, type) and issubclass(made, SavedEstimator)
