"""Files that hold or guard key material: checked before reading, written atomically."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ..core.errors import KeyringError
from ..process.hardening import overwrite

PRIVATE: Final = 0o600
_GROUP_READS: Final = 0o040
_LINE_END_BYTES: Final = 2
_ACCESS_LIST: Final = "system.posix_acl_access"


def read(path: Path, limit: int) -> bytes:
    """Return the content of a regular file that only this user (or root) may read or write.

    Raises KeyringError, naming the path, for a missing file, another owner, a mode beyond 0600, and
    more than `limit` bytes. A file of root may also be readable by our group (0440), if the
    group has no other members. Links are followed, since Kubernetes mounts secrets through them.
    """
    with _opened(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise KeyringError(f"{path}: larger than {limit} bytes")
    return content


def read_line(path: Path, limit: int) -> bytes:
    """Return the one line of such a file, of at most `limit` bytes, without its line end."""
    return read(path, limit + _LINE_END_BYTES).removesuffix(b"\n").removesuffix(b"\r")


def read_secret_line(path: Path, limit: int) -> bytearray:
    """Do as `read_line`, into memory that the caller overwrites; no copy stays."""
    buffer = bytearray(limit + _LINE_END_BYTES + 1)
    try:
        with _opened(path) as descriptor, memoryview(buffer) as view:
            size = 0
            while size < len(buffer) and (read := os.readv(descriptor, [view[size:]])):
                size += read
            if size == len(buffer):
                raise KeyringError(f"{path}: larger than {limit + _LINE_END_BYTES} bytes")
            for end in (b"\n", b"\r"):
                size -= bytes(view[max(size - 1, 0) : size]) == end
            return bytearray(view[:size])
    finally:
        overwrite(buffer)


def write(path: Path, content: bytes) -> None:
    """Replace the file with `content` in one step, mode 0600, and on the disk when this returns.

    On any failure the old content stays. Raises KeyringError, naming the path.
    """
    target = path.resolve()  # a link stays a link
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()  # left by a crashed process of our number
        try:
            _write_new(temporary, content)
            temporary.replace(target)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        sync_folder(target.parent)
    except OSError as error:
        raise KeyringError(
            f"{path}: not written: {error.strerror or type(error).__name__}"
        ) from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file among all processes, waiting for it.

    The lock is a file of its own beside it, which stays: the file itself is replaced on writing,
    and a lock on the old one would guard nothing.
    """
    target = path.resolve()
    lock = target.with_name(f".{target.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        raise KeyringError(f"{path}: not locked: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a file that only we may read or write; what cannot be read is a KeyringError."""
    try:
        # Without O_NONBLOCK a FIFO would make the open wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _check(path, os.fstat(descriptor))
            _refuse_list(path, descriptor)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KeyringError(f"{path}: {error.strerror}") from None


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyringError(f"{path}: not a regular file")
    if status.st_uid not in {os.geteuid(), 0}:
        raise KeyringError(f"{path}: belongs to another user")
    mode = stat.S_IMODE(status.st_mode)
    if mode & ~_allowed(status):
        raise KeyringError(f"{path}: mode {mode:04o} lets others in; change it to 0600 or 0400")
    if mode & _GROUP_READS and (others := _others(status.st_gid)):
        raise KeyringError(f"{path}: its group has other members: {', '.join(others)}")


def _others(group: int) -> list[str]:
    """Return the other members of a group; one made by Kubernetes lists none."""
    try:
        listed = grp.getgrgid(group).gr_mem
    except KeyError:
        return []
    try:
        mine = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        mine = ""
    return sorted(set(listed) - {mine, "root"})


def _refuse_list(path: Path, descriptor: int) -> None:
    """Refuse a file with an access list (POSIX ACL): its mode does not show who may read it."""
    getxattr = getattr(os, "getxattr", None)  # of Linux alone
    if getxattr is None:
        return
    try:
        getxattr(descriptor, _ACCESS_LIST)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.ENOTSUP}:
            return
        raise
    raise KeyringError(f"{path}: an access list lets others in; remove it with `setfacl -b`")


def _allowed(status: os.stat_result) -> int:
    """Return the most that the mode of a file may allow.

    Kubernetes mounts a Secret as root's: a process that is not root can read it only by a group
    that root gave both. To read, not to write, and only where root itself is the owner.
    """
    given = status.st_uid == 0 and os.geteuid() != 0
    ours = given and status.st_gid in {os.getegid(), *os.getgroups()}
    return PRIVATE | _GROUP_READS if ours else PRIVATE


def _write_new(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, PRIVATE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Write the entries of a folder to its disk; raise OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp(path: Path) -> tuple[int, ...]:
    """Return what differs after a change of a file; nothing where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns
