"""Signed files: only this user can have written them, even in a folder that others prepared.

A tree that comes from elsewhere may bring a cache of its own: links that lead out of the tree, or content made to
break whoever loads it (`marshal` trusts what it is given). So no link is ever followed, nothing is written outside the
folder, and what is stored carries a seal that takes a key, which lies with the user's own files and not in the tree.
What has no such seal is not there.
"""

from __future__ import annotations

import os
import stat

try:
    from _blake2 import blake2b  # hashlib brings OpenSSL, which takes as long to load as a hundred files to read
except ImportError:  # not CPython's own
    from hashlib import blake2b

LARGEST = 1 << 28
"""Bytes of one file. The cache of a project with a million files is smaller."""

_SEAL = 32
_LENGTH = 8
_KEY = 32
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | _SAFE | getattr(os, "O_NONBLOCK", 0)  # what waits for a writer is no cache
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE
_MARK = b"a folder that baton-lint made"


class Sealed:
    """What a file holds: a head, and a body whose seal is only looked at when the body is asked for.

    Attributes:
        head: The first part, which we wrote.
    """

    def __init__(self, key: bytes, data: bytes) -> None:
        whole = memoryview(data)
        end = _SEAL + _LENGTH + int.from_bytes(whole[_SEAL : _SEAL + _LENGTH])
        if len(data) < end + _SEAL or _seal(key, whole[_SEAL:end]) != data[:_SEAL]:
            raise ValueError("somebody else wrote it")
        self.head = whole[_SEAL + _LENGTH : end]
        self._key = key
        self._head_seal = data[:_SEAL]
        self._body_seal = data[end : end + _SEAL]
        self._body = whole[end + _SEAL :]

    def body(self) -> memoryview | None:
        """The second part; None if it isn't the one that we wrote with this head."""
        return self._body if _seal(self._key, self._body, self._head_seal) == self._body_seal else None


def read(path: str) -> Sealed | None:
    """What was last written there; None if nothing was, or by somebody else."""
    try:
        if not _is_folder(os.path.dirname(path)):
            return None
        data = _content(path)
        key = _key()
        return None if key is None else Sealed(key, data)
    except (OSError, ValueError):
        return None


def write(path: str, head: bytes, body: bytes = b"") -> bool:
    """Write a file as a whole; its folder is made, and kept out of version control. False if that can't be done."""
    folder = os.path.dirname(path)
    key = _key() or _new_key()
    if key is None or len(head) + len(body) > LARGEST - 2 * _SEAL - _LENGTH:
        return False
    measured = len(head).to_bytes(_LENGTH) + head
    seal = _seal(key, measured)
    try:
        os.makedirs(folder, exist_ok=True)
        if not _is_folder(folder):
            return False
        ignored = os.path.join(folder, ".gitignore")
        if not os.path.lexists(ignored):
            _create(ignored, (b"*\n",))
        temporary = f"{path}.{os.getpid()}"
        if os.path.lexists(temporary):  # left by a process that was killed, or put there to be written through
            os.unlink(temporary)
        _create(temporary, (seal, measured, _seal(key, body, seal), body))
        os.replace(temporary, path)
    except (OSError, ValueError):
        return False
    return True


def is_own_folder(folder: str) -> bool:
    """Whether a folder, which another program is to write into, was made by us; it is made if nothing is there."""
    if os.path.islink(os.path.dirname(folder)):
        return False
    if os.path.lexists(folder):
        mark = read(os.path.join(folder, ".baton"))
        return mark is not None and mark.head == _MARK
    return write(os.path.join(folder, ".baton"), _MARK)


def _is_folder(path: str) -> bool:
    """Whether a folder is there itself, and no link to one."""
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _content(path: str) -> bytes:
    """The bytes of a plain file of our own.

    Raises:
        OSError: It can't be read, is no plain file, or is somebody else's.
    """
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        is_ours = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
        if not stat.S_ISREG(status.st_mode) or not is_ours or status.st_size > LARGEST:
            raise PermissionError(f"{path} is no file of ours")
        parts: list[bytes] = []
        while part := os.read(descriptor, LARGEST):
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)[:LARGEST]
    finally:
        os.close(descriptor)


def _create(path: str, parts: tuple[bytes, ...]) -> None:
    with open(os.open(path, _NEW, 0o600), "wb") as file:
        for part in parts:
            file.write(part)


def digest(data: bytes) -> bytes:
    """What tells one content from another."""
    return blake2b(data, digest_size=_SEAL).digest()


def _seal(key: bytes, data: bytes | memoryview, before: bytes = b"") -> bytes:
    made = blake2b(before, key=key, digest_size=_SEAL)
    made.update(data)
    return made.digest()


def _key_path() -> str:
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(caches, "baton-dsl", "key")


def _key() -> bytes | None:
    """The user's key; None if there is none."""
    try:
        key = _content(_key_path())
    except (OSError, ValueError):
        return None
    return key if len(key) == _KEY else None


def _new_key() -> bytes | None:
    """A key that is stored for the next run; None if it can't be."""
    path = _key_path()
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        _create(temporary, (os.urandom(_KEY),))
        try:
            os.link(temporary, path)  # whole or not at all, and never over the key of a process beside us
        except FileExistsError:
            pass
        finally:
            os.unlink(temporary)
    except (OSError, ValueError):
        return None
    return _key()
