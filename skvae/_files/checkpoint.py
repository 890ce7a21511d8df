"""The state of a fit in a folder, so that a fit that was killed can continue."""

from __future__ import annotations

import errno
import inspect
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from skvae._data import WeightedTable
from skvae._files.archive import Archive, ModelFileError, digest, read_archive, write_archive
from skvae._files.kinds import KINDS
from skvae._files.tree import Tree, from_tree, to_tree
from skvae._fitted import Fitted
from skvae._model.state import all_arrays_of
from skvae._training.stages import Progress
from skvae._warn import warn

# Writing takes at most this share of the time of training. Before the first time it is taken to
# last FIRST_COST seconds.
SHARE, FIRST_COST = 0.02, 0.02


class Checkpoint:
    """The file of one fit.

    Parameters
    ----------
    folder : str or path
        It is made if it does not exist.
    identity : object
        All that the fit depends on, of kinds that files can hold. The name of the file is its
        hash, so that fits of several kinds can share a folder.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: Any) -> None:
        tree = to_tree(identity, KINDS)
        codes = {name: _code_of(made) for name, made in tree.custom.items()}
        name = digest([tree.node, codes], tree.arrays)
        self.path = Path(folder, f"{name[:32]}.checkpoint")
        if self.path.parent.exists() and not self.path.parent.is_dir():
            raise NotADirectoryError(
                errno.ENOTDIR, "checkpoint must be a folder, but this is a file", str(folder)
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.cost, self.written = FIRST_COST, time.perf_counter()

    def read(self) -> Progress | None:
        """The state after the last epoch that was written; None if there is none.

        Warns if the file is damaged.
        """
        if not self.path.exists():
            return None
        try:
            found: Progress = from_tree(Tree(*read_archive(self.path), {}), KINDS)
        except ModelFileError as error:
            warn(f"The checkpoint is damaged, and the fit starts from the beginning: {error}")
            return None
        return found

    def offer(self, progress: Callable[[], Progress]) -> None:
        """Write the state after an epoch, unless the last one was written a short time ago."""
        start = time.perf_counter()
        if SHARE * (start - self.written) < self.cost:
            return
        try:
            tree = to_tree(progress(), KINDS)
            write_archive(self.path, Archive(tree.node, tree.arrays))
        except OSError as error:
            warn(f"The checkpoint was not written: {error}. Training continues.")
        self.written = time.perf_counter()
        self.cost = self.written - start

    def remove(self) -> None:
        """Delete the file, after a fit that is complete."""
        self.path.unlink(missing_ok=True)


def identity(fitted: Fitted, data: WeightedTable, validation: WeightedTable | None) -> list[Any]:
    """What a fit depends on besides the parameters: versions, the start, the rows and units."""
    installed = [name for name in ("skvae", "torch", "numba") if find_spec(name)]
    versions = [*map(version, installed), fitted.device.type]
    rows = [data.hashes, data.weight, fitted.columns.origin, fitted.columns.spread]
    if validation is not None:
        rows.append(validation.ordered_without_units(fitted.columns).hashes)
    return [versions, fitted.training.n_epochs, all_arrays_of(fitted.module), rows]


def _code_of(made: Any) -> str:
    """The code of a function or a class, and the simple values that it takes from outside."""
    try:
        code = inspect.getsource(made)
    except (OSError, TypeError):  # it was not read from a file
        code = repr(getattr(made, "__code__", made.__name__))
    cells = [cell.cell_contents for cell in getattr(made, "__closure__", None) or ()]
    return code + repr([value for value in cells if isinstance(value, bool | int | float | str)])
