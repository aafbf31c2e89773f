# SPDX-License-Identifier: Apache-2.0
"""Files with keys: 0600 in a directory 0700, replaced as a whole, and refused when others could read them.

A refusal names the command that mends it. Knows nothing of what is in the files.
"""

import contextlib
import errno
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from remsim.pki.errors import KeyFileError

DIRECTORY_MODE: Final = 0o700
PRIVATE_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
#: Keys, certificates and lists are a few kilobytes; anything larger is the wrong file.
MAX_FILE_BYTES: Final = 1 << 20

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def make_private_directory(path: Path) -> None:
    """Create ``path`` for this user only, or check that it is so. Raises KeyFileError."""
    try:
        path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    except OSError as error:
        hint = hint_for(error, path) or "choose another directory"
        raise KeyFileError(f"cannot create {path}: {error.strerror}", hint=hint) from error
    check_private_directory(path)


def check_private_directory(path: Path) -> None:
    """Make sure that only this user can reach into ``path``. Raises KeyFileError."""
    try:
        found = path.stat()
    except OSError as error:
        hint = hint_for(error, path) or "is it the right directory?"
        raise KeyFileError(f"cannot use {path}: {error.strerror}", hint=hint) from error
    if not stat.S_ISDIR(found.st_mode):
        raise KeyFileError(f"{path} is not a directory")
    _check_owner_and_mode(path, found, DIRECTORY_MODE)


def check_owner(path: Path) -> None:
    """Make sure that what root makes in ``path``, if that is there, is of use to its owner. Raises KeyFileError."""
    try:
        owner = path.stat().st_uid
    except OSError:
        return
    if os.geteuid() == 0 and owner != 0:
        raise _belongs_to_another(path, owner)


def read_private(path: Path) -> bytes:
    """The content of a file that only this user can read. Raises KeyFileError."""
    return _read(path, is_private=True)


def check_private(path: Path) -> None:
    """Make sure that ``path`` is a file, of any length, that only this user can reach. Raises KeyFileError."""
    try:
        # Not opened: closing it would end the locks that SQLite has on the ledger for another thread (fcntl(2)).
        found = path.stat()
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}", hint=hint_for(error, path)) from error
    if not stat.S_ISREG(found.st_mode):
        raise KeyFileError(f"{path} is no file")
    _check_owner_and_mode(path, found, PRIVATE_MODE)


def read_public(path: Path) -> bytes:
    """The content of a file that anybody may read. Raises KeyFileError."""
    return _read(path, is_private=False)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only this user can read. Raises KeyFileError; then the old one is still there."""
    _write(path, content, PRIVATE_MODE)


@contextlib.contextmanager
def create_private(path: Path) -> Iterator[Callable[[str], object]]:
    """A new file that only this user can read; gives what writes a line to it. Raises KeyFileError.

    After an error within the block there is no file.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE)
    except FileExistsError:
        raise KeyFileError(f"{path} exists already", hint="name a new file, or remove the old one") from None
    except OSError as error:
        raise KeyFileError(f"cannot create {path}: {error.strerror}", hint="choose another place") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            yield lambda line: stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            raise KeyFileError(f"cannot write {path}: {error.strerror}") from error
        raise


def write_public(path: Path, content: bytes) -> None:
    """Write a file that anybody may read. Raises KeyFileError; then the old one is still there."""
    _write(path, content, PUBLIC_MODE)


def hint_for(error: OSError, path: Path) -> str:
    """What to do about a file or directory that the system does not let us use; "" where only the text helps."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return f"this runs as {_user_name(os.geteuid())}, who may not: see the owners with namei -l {_quoted(path)}"
        case errno.ENOSPC | errno.EDQUOT:
            return f"make room there (df {_quoted(path.parent)}); the file that was there before is as it was"
        case errno.EROFS:
            return f"that file system is mounted read-only: see findmnt -T {_quoted(path.parent)}"
        case errno.ENOENT:
            return "is it the right directory? If the file was lost, restore it from a backup, or enrol this host again"
        case _:
            return ""


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _read(path: Path, *, is_private: bool) -> bytes:
    try:
        # The mode is that of the file that is read, not of one that had the name a moment before.
        # Nobody may ever write to a FIFO, and opening it would wait for that. A public file may be one: <(...).
        opener = _open_at_once if is_private else None
        with open(path, "rb", opener=opener) as stream:
            found = os.fstat(stream.fileno())
            if is_private:
                if not stat.S_ISREG(found.st_mode):
                    raise KeyFileError(f"{path} is no file")
                _check_owner_and_mode(path, found, PRIVATE_MODE)
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}", hint=hint_for(error, path)) from error
    if len(content) > MAX_FILE_BYTES:
        raise KeyFileError(f"{path} is larger than {MAX_FILE_BYTES} bytes", hint="is this the right file?")
    return content


def _check_owner_and_mode(path: Path, found: os.stat_result, wanted: int) -> None:
    if _is_service_credential(path):
        return
    if found.st_uid not in (0, os.geteuid()):
        raise _belongs_to_another(path, found.st_uid)
    if found.st_mode & _OTHERS:
        raise KeyFileError(
            f"{path} can be reached by others (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"run: chmod {wanted:o} {shlex.quote(str(path))}",
        )


def _belongs_to_another(path: Path, owner: int) -> KeyFileError:
    if os.geteuid() == 0:
        # What root would write there, the program that owns the directory could not use.
        hint = f"run this as its owner, for example with: sudo -u {_user_name(owner)}"
    else:
        hint = f"run: chown {os.geteuid()} {shlex.quote(str(path))}"
    return KeyFileError(f"{path} belongs to another user", hint=hint)


def _user_name(owner: int) -> str:
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"'#{owner}'"


def _is_service_credential(path: Path) -> bool:
    # systemd.exec(5), LoadCredential: the service manager guards that directory, with access lists that show as group
    # permissions.
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return folder.startswith("/") and path.absolute().is_relative_to(folder)


def _write(path: Path, content: bytes, mode: int) -> None:
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            # The creation mode passes through the process's umask, which may take too much of a public file.
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise KeyFileError(f"cannot write {path}: {error.strerror}", hint=hint_for(error, path)) from error


def sync_directory(path: Path) -> None:
    """Make sure that the names in ``path`` are on the disk: after a power failure no file is there without its name."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
