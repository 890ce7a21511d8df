"""Estimators as files that load for years and run no code."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from skvae._files.archive import Archive, write_archive
from skvae._files.kinds import KINDS
from skvae._files.tree import Kind, to_tree

# Fitted attributes that do not end in an underscore.
PRIVATE = "_fitted", "_sklearn_output_config"


class SavedEstimator:
    """Base of the estimators that ``save`` writes and ``skvae.load`` reads."""

    def save(self, path):
        """Save the estimator to a file.

        :func:`skvae.load` reads it, in this version of skvae and in later ones, with equal scores
        on the same machine. Unlike a pickle, the file runs no code when it is loaded. The new file
        takes the place of an old one in one step: at any time, the file is the old one or the new
        one.

        Parameters and attributes that end in an underscore are saved; callbacks and metadata
        requests are not. Of a custom function or class, such as a network, the file has only the
        name: pass it to ``load`` as ``custom``.

        Parameters
        ----------
        path : str or path
            The file. It is a safetensors file, whatever its suffix.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        OSError
            If the file cannot be written. The old file, if any, stays.
        TypeError
            If a parameter or a part of the model cannot be saved, such as a lambda.
        """
        check_is_fitted(self)
        try:
            tree = to_tree(self, KINDS | _kinds_of(self))
        except ValueError as error:  # Unknown, or a dtype without a name
            raise TypeError(
                f"This {type(self).__name__} cannot be saved, since it holds {error}. Write a "
                "lambda as a function by def, convert categories to strings, or pickle the "
                "estimator."
            ) from error
        write_archive(path, Archive(tree.node, tree.arrays))


def kind_of_estimator(made: Any) -> Kind:
    """A class of estimators: their parameters, and what ``fit`` has set."""

    def state(estimator: Any) -> dict[str, Any]:
        parameters = estimator.get_params(deep=False)
        learned = {
            name: value
            for name, value in vars(estimator).items()
            if name not in parameters and _is_learned(name)
        }
        return {"parameters": parameters, "learned": learned}

    def make(state: dict[str, Any]) -> Any:
        estimator = made(**state["parameters"])
        for name, value in state["learned"].items():
            if not _is_learned(name):
                raise ValueError(f"{name!r} is no attribute that fit sets")
            vars(estimator)[name] = value
        return estimator

    return Kind(made, state, make)


def _is_learned(name: str) -> bool:
    """Whether ``fit`` may set an attribute of this name."""
    return name in PRIVATE or (name.endswith("_") and not name.startswith("_"))


def _kinds_of(estimator: SavedEstimator) -> dict[str, Kind]:
    """The classes of an estimator and of those within it."""
    nested = [one for one in vars(estimator).values() if isinstance(one, SavedEstimator)]
    return {type(one).__name__: kind_of_estimator(type(one)) for one in [estimator, *nested]}
