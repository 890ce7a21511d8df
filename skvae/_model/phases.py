"""What a step of training learns, where training has several phases."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """What a step of training learns.

    Parameters
    ----------
    by_location : bool
        Whether located columns are modelled by their locations alone, with one noise for all.
    encoder : bool
        Whether the encoder learns too.
    """

    by_location: bool = False
    encoder: bool = True


WHOLE = Phase()
CODES = Phase(by_location=True)
DECODER = Phase(encoder=False)
