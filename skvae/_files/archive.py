"""A file of arrays and a description: written whole or not at all, and checked before it is used.

The file is a safetensors file. Its metadata holds the description as JSON, the number of the
format, versions of libraries, and a hash of all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from skvae._disk import replace_file

# Of the files that this version writes. It reads all formats up to this one.
FORMAT = 1
VERSIONS_OF = ("skvae", "torch", "numpy", "scikit-learn", "pandas")
PICKLE = b"\x80"  # the first byte
UPGRADE = "Install the version of skvae that wrote it, or a later one."


class ModelFileError(ValueError):
    """A file is not a whole, unchanged model that this version of skvae can load."""


class Archive(NamedTuple):
    """The contents of a file."""

    description: Any  # JSON
    arrays: dict[str, NDArray[Any]]


def write_archive(path: str | os.PathLike[str], archive: Archive) -> None:
    """Write a file, or leave the old one as it is.

    Raises
    ------
    OSError
        If the file cannot be written, for example because the disk is full.
    """
    metadata = {
        "format": f"skvae {FORMAT}",
        "versions": json.dumps({name: version(name) for name in VERSIONS_OF}),
        "description": json.dumps(archive.description, allow_nan=False),
    }
    arrays = {name: np.asarray(array, order="C") for name, array in archive.arrays.items()}
    metadata["sha256"] = digest(metadata, arrays)
    replace_file(path, save(arrays, metadata))


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """Read a file and check that it is whole and unchanged.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ModelFileError
        If it is not a file of a model, was changed, or is of a later format.
    """
    with open(path, "rb") as opened:  # an OSError names the path
        start = opened.read(9)
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            _check_format(path, metadata)
            arrays = {name: file.get_tensor(name) for name in file.offset_keys()}
    except (SafetensorError, TypeError, AttributeError) as error:
        if start[:1] == PICKLE and start[8:] != b"{":  # where the description of a model starts
            raise ModelFileError(
                f"{os.fspath(path)!r} is a pickle. If you trust it, load it by pickle.load or "
                "joblib.load, and save the model by its method save."
            ) from error
        raise ModelFileError(
            f"{os.fspath(path)!r} is not a file of a model, or was cut off: {error}."
        ) from error
    expected = metadata.pop("sha256", None)
    if digest(metadata, arrays) != expected:
        raise ModelFileError(
            f"{os.fspath(path)!r} was changed after it was saved: its contents do not match their "
            "hash. Save the model again, or load another copy of the file."
        )
    try:
        return Archive(json.loads(metadata["description"]), arrays)
    except (KeyError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{os.fspath(path)!r} holds no description: {error}.") from error


def _check_format(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    """Raise ModelFileError for a file of another program, or of a later format."""
    name, _, number = metadata.get("format", "").partition(" ")
    if name != "skvae" or not number.isdecimal():
        raise ModelFileError(f"{os.fspath(path)!r} is not a file of a model of skvae.")
    if int(number) > FORMAT:
        raise ModelFileError(
            f"{os.fspath(path)!r} has format {int(number)}, and this version of skvae reads "
            f"formats up to {FORMAT}. {UPGRADE}"
        )


def digest(description: Any, arrays: Mapping[str, NDArray[Any]]) -> str:
    """A hash of JSON, and of arrays with their names, in any order of names."""
    found = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        found.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        found.update(array.tobytes())
    return found.hexdigest()
