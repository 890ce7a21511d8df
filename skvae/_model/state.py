"""The tensors of a VAE as arrays, for files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from skvae._model.vae import VAE

PRIORS = "prior.", "learned_prior."  # the names of whose tensors begin so


def all_arrays_of(model: VAE) -> dict[str, NDArray[Any]]:
    """Copies of all parameters and buffers, by name, as numpy arrays."""
    return {name: t.cpu().numpy().copy() for name, t in model.state_dict().items()}


def load_all_arrays(model: VAE, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Set all parameters and buffers to the result of ``all_arrays_of``."""
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})


def arrays_of(model: VAE) -> dict[str, NDArray[Any]]:
    """Copies of all parameters and buffers except those of priors."""
    arrays = all_arrays_of(model).items()
    return {name: array for name, array in arrays if not name.startswith(PRIORS)}


def load_arrays(model: VAE, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Set all parameters and buffers except those of priors to the result of ``arrays_of``.

    Raises ValueError if a name is missing or unknown.
    """
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    missing, unknown = model.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.startswith(PRIORS)]
    if missing or unknown:
        raise ValueError(
            f"The saved weights do not belong to this model: {missing} are missing, and "
            f"{unknown} are not part of it. Load them with the class that was saved."
        )
