"""How many draws a row takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, Self

from torch import Tensor

# With fewer draws than this, all are from the posterior. A search for further modes takes longer
# than FEWEST_AT_MODES draws there.
FEWEST_FOR_MODES, FEWEST_AT_MODES = 16, 256
STANDARD_ERROR = 0.1  # of a score, in nats
FEW_COMPONENTS = 8  # latent dimensions in which the methods for few are used
# The first draws of a score: in few dimensions, of complete rows and of rows with missing values,
# and in more, in which few draws would underestimate their own error.
FIRST_OF_COMPLETE, FIRST_WITH_GAPS, FIRST_OF_MANY = 32, 64, 128
# The most draws of a score, which reach the standard error if the effective sample size is at least
# this share of them. With less, further modes of a row are sought.
MOST_DRAWS, WORST_SHARE = 2**14, 1 / 6
# The first and the most draws for a conditional mean. With 256 at first, the errors of
# probabilities in 16 dimensions were the same.
MEAN_DRAWS, MOST_MEAN_DRAWS = 128, 512
# Weighted codes for each conditional draw of a row, and their largest number.
CODES_PER_DRAW, MOST_IN_POOL = 4, 2**12
# The effective sample size below which conditional draws of a row are too much alike.
FEWEST_CODES = 2


class Effort(NamedTuple):
    """How many draws a row takes: ``first``, and twice as many until it has enough, or ``most``.

    A complete row starts with ``first_of_complete``, if that is not None.

    A row has enough if the standard error of its log-likelihood, as estimated for independent
    draws, is at most ``error`` nats. With ``looks_around``, a second mode is sought around the
    first: without it, a conditional mean may be far off where a score is off by less than a nat.
    """

    first: int
    most: int
    error: float
    looks_around: bool = False
    first_of_complete: int | None = None

    @classmethod
    def of_score(cls, n_components: int, n_draws: int | None, error: float) -> Self:
        """``n_draws`` draws, or as many as a row needs for this standard error, in nats."""
        if n_draws is not None:
            return cls(n_draws, n_draws, error=0.0)
        wanted = min(_power_of_two((1 / WORST_SHARE - 1) / error**2), MOST_DRAWS)
        if n_components > FEW_COMPONENTS:
            return cls(FIRST_OF_MANY, max(wanted, FIRST_OF_MANY), error)
        most = max(wanted, FIRST_WITH_GAPS)
        return cls(FIRST_WITH_GAPS, most, error, first_of_complete=FIRST_OF_COMPLETE)

    @classmethod
    def of_mean(cls) -> Self:
        """For a conditional mean."""
        return cls(MEAN_DRAWS, MOST_MEAN_DRAWS, STANDARD_ERROR, looks_around=True)

    @classmethod
    def of_draws(cls, n: int) -> Self:
        """For n conditional draws of a row."""
        first = min(max(MEAN_DRAWS, _power_of_two(CODES_PER_DRAW * n)), MOST_IN_POOL)
        # an error of e takes an effective sample size of about 1 / e^2
        error = min(STANDARD_ERROR, n**-0.5)
        return cls(first, max(first, MOST_MEAN_DRAWS), error, looks_around=True)

    @property
    def is_small(self) -> bool:
        """Whether all draws are from the posterior."""
        return self.most < FEWEST_FOR_MODES

    @property
    def n_spare(self) -> int:
        """The number of draws at further modes, of rows whose weights are uneven."""
        return 0 if self.is_small else max(self.most, FEWEST_AT_MODES)

    @property
    def n_noise(self) -> int:
        """The number of draws for which a row needs noise."""
        return self.most + self.n_spare

    def split(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The noise for draws at further modes, and that for other draws."""
        # a power of two of draws at the start keeps the balance of a quasi-random sequence
        return noise[: self.n_spare], noise[self.n_spare :]

    def stages(self, noise: Tensor, *, has_gaps: bool) -> Iterator[list[Tensor]]:
        """The noise of each stage, in four parts. (S, 1, K) -> 4 tensors.

        ``has_gaps`` says whether values are missing in the rows. The parts of a stage follow one
        another, since together they are then as even as quasi-random draws are.
        """
        start, stop = 0, self.first
        if self.first_of_complete is not None and not has_gaps:
            stop = self.first_of_complete
        while start < self.most:
            yield list(noise[start:stop].tensor_split(4))
            start, stop = stop, min(2 * stop, self.most)


def _power_of_two(n: float) -> int:
    """The smallest power of two of at least n."""
    return int(2 ** math.ceil(math.log2(n)))
