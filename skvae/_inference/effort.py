"""How many draws a row takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

# With fewer draws than this, all are from the posterior. A thorough search for modes takes longer
# than FEWEST_AT_MODES draws there.
FEWEST_FOR_MODES, FEWEST_AT_MODES = 16, 256


class Effort(NamedTuple):
    """How many draws a row takes: ``first``, and twice as many until it has enough, or ``most``.

    A row has enough if the standard error of its log-likelihood, as estimated for independent
    draws, is at most ``error`` nats.
    """

    first: int
    most: int
    error: float

    @property
    def is_small(self) -> bool:
        """Whether all draws are from the posterior."""
        return self.most < FEWEST_FOR_MODES

    @property
    def n_spare(self) -> int:
        """The number of draws at the modes of a thorough search."""
        return 0 if self.is_small else max(self.most, FEWEST_AT_MODES)

    @property
    def n_noise(self) -> int:
        """The number of draws for which a row needs noise."""
        return self.most + self.n_spare

    def split(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The noise for the modes of a thorough search, and that for other draws."""
        # a power of two of draws at the start keeps the balance of a quasi-random sequence
        return noise[: self.n_spare], noise[self.n_spare :]

    def stages(self, noise: Tensor) -> Iterator[list[Tensor]]:
        """The noise of each stage, in four parts. (S, 1, K) -> 4 tensors.

        Each part continues that of the stage before, since quasi-random draws are even if they
        follow one another.
        """
        parts, start, stop = noise.tensor_split(4), 0, self.first
        while start < self.most:
            yield [
                part[len(part) * start // self.most : len(part) * stop // self.most]
                for part in parts
            ]
            start, stop = stop, min(2 * stop, self.most)
