"""Exchanges two folders at once: each name means the other folder, and no moment lies between."""

import ctypes
import errno
import os
import shutil
from pathlib import Path

from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet_files import explained

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def exchange(one: Path, other: Path) -> None:
    """Exchange two folders of one file system.

    Raises:
        StorageError: If the kernel or the file system cannot do that.
        OSError: As the system says, for any other reason.
    """
    # By the C library: Python's own rename has no flags.
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        raise StorageError(_unable(one, "the C library has no renameat2"))
    paths = (os.fsencode(one), os.fsencode(other))
    if renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
        return
    number = ctypes.get_errno()
    if number in _CANNOT:
        raise StorageError(_unable(one, os.strerror(number)))
    raise OSError(number, os.strerror(number), str(one))


def require_exchange(folder: Path) -> None:
    """Hold that folders below this one can be exchanged, by trying it.

    Raises:
        StorageError: If not.
    """
    pair = [folder / f"exchange-{os.getpid()}-{n}" for n in range(2)]
    with explained(f"try an exchange of folders in {folder}"):
        try:
            for each in pair:
                each.mkdir(parents=True, exist_ok=True)
            exchange(*pair)
        finally:
            for each in pair:
                shutil.rmtree(each, ignore_errors=True)


def _unable(path: Path, why: str) -> str:
    return (
        f"two folders at {path} cannot be exchanged at once ({why}): put the Parquet path on a "
        "local file system such as ext4, xfs, btrfs or tmpfs (setting ROPEWALK_PARQUET_PATH)"
    )
