"""A file of arrays and a description: written whole or not at all, and checked before it is used.

The file is a safetensors file. Its metadata holds the description as JSON, the number of the
format, versions of libraries, and a hash of all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

# Of the files that this version writes. It reads all formats up to this one.
FORMAT = 1
VERSIONS_OF = ("skvae", "torch", "numpy", "scikit-learn", "pandas")
UPGRADE = "Install the version of skvae that wrote it, or a later one."


class ModelFileError(ValueError):
    """A file is not a whole, unchanged model that this version of skvae can load."""


class Archive(NamedTuple):
    """The contents of a file."""

    description: Any  # JSON
    arrays: Mapping[str, NDArray[Any]]


def write_archive(path: str | os.PathLike[str], archive: Archive) -> None:
    """Write a file, or leave the old one as it is.

    The bytes are written to a temporary file beside it, which then takes its place.

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
    # a link stays a link
    _replace(Path(os.path.realpath(path)), save(arrays, metadata))


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """Read a file and check that it is whole and unchanged.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ModelFileError
        If it is not a file of a model, was changed, or is of a later format.
    """
    with open(path, "rb"):  # an OSError that names the path
        pass
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            _check_format(path, metadata)
            arrays = {name: file.get_tensor(name) for name in file.offset_keys()}
    except (SafetensorError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{os.fspath(path)!r} is not a file of a model, or was cut off: {error}."
        ) from error
    expected = metadata.pop("sha256", None)
    if digest(metadata, arrays) != expected:
        raise ModelFileError(
            f"{os.fspath(path)!r} was changed after it was saved: its contents do not match their "
            "hash. Save the model again, or load another copy of the file."
        )
    return Archive(json.loads(metadata["description"]), arrays)


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


def _replace(path: Path, content: bytes) -> None:
    """Write a file in one step, as other processes see it, and wait until it is on the disk."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Wait until the name of a file is on the disk, where folders can be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
