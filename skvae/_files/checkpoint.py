"""The state of a fit in a folder, so that a fit that was killed can go on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from skvae._data import WeightedTable
from skvae._files.archive import Archive, digest, read_archive, write_archive
from skvae._files.kinds import KINDS
from skvae._files.tree import from_nodes, to_nodes
from skvae._fitted import Fitted
from skvae._training.progress import state_arrays
from skvae._training.stages import Progress
from skvae._warn import warn

# Writing takes at most this share of the time of training.
SHARE = 0.02


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
        name = digest(*to_nodes(identity, KINDS))
        self.path = Path(folder, f"{name[:32]}.checkpoint")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.cost, self.written = 0.0, time.perf_counter()

    def read(self) -> Progress | None:
        """The state after the last epoch that was written; None if there is none.

        Raises ModelFileError if the file was altered.
        """
        if not self.path.exists():
            return None
        found = from_nodes(*read_archive(self.path), KINDS, {})
        assert isinstance(found, Progress)
        return found

    def offer(self, progress: Callable[[], Progress]) -> None:
        """Write the state after an epoch, unless the last one was written a short time ago."""
        start = time.perf_counter()
        if SHARE * (start - self.written) < self.cost:
            return
        try:
            write_archive(self.path, Archive(*to_nodes(progress(), KINDS)))
        except OSError as error:
            warn(f"The checkpoint was not written: {error}. Training continues.")
        self.written = time.perf_counter()
        self.cost = self.written - start

    def remove(self) -> None:
        """Delete the file, after a fit that is complete."""
        self.path.unlink(missing_ok=True)


def identity(fitted: Fitted, data: WeightedTable, validation: WeightedTable | None) -> list[Any]:
    """What a fit depends on besides the parameters: versions, the start and the rows."""
    versions = [version(name) for name in ("skvae", "torch")]
    rows = [data.hashes, data.weight]
    if validation is not None:
        rows.append(validation.ordered_without_units(fitted.columns).hashes)
    return [versions, fitted.training.n_epochs, state_arrays(fitted.module), rows]
