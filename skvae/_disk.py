"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from skvae._rules import Rule

PATH = Rule("a path", lambda value: isinstance(value, str | os.PathLike))


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file in one step, as other processes see it, and wait until it is on the disk.

    The bytes are written to a temporary file beside it, which then takes its place. A link stays a
    link, and a file keeps its permissions. Raises OSError if that fails; an old file then stays.
    """
    PATH.check("'path'", path)
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():  # such as /dev/null
        raise OSError(errno.EINVAL, "Only a regular file can be replaced", str(path))
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if path.exists():
                os.chmod(temporary, path.stat().st_mode & 0o777)
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
