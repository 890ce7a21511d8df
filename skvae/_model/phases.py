"""The phases of training: which parts of the model a step trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """The parts of the model that a step of training changes.

    Parameters
    ----------
    by_location : bool
        Whether located columns are modelled only by their locations, with one noise for all.
    encoder : bool
        Whether the encoder is trained too.
    """

    by_location: bool = False
    encoder: bool = True


WHOLE = Phase()
CODES = Phase(by_location=True)
DECODER = Phase(encoder=False)
