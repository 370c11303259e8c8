"""Signed files: only this user can have written them, even in a folder that others prepared.

A checkout from elsewhere may contain a hostile cache: links that lead out of it, or content that attacks whoever loads
    it
(`marshal` trusts its input). So links are never followed, nothing is written outside the folder, and stored data has a
seal. The seal needs a key, which is with the user's own files and not in the checkout. Data without a valid seal is
ignored.
"""

from __future__ import annotations

import os
import stat

try:
    from _blake2 import blake2b  # hashlib imports OpenSSL, which takes as long as reading a hundred files
except ImportError:  # not CPython
    from hashlib import blake2b

LARGEST = 1 << 28
"""The most bytes of a file. The cache of a project with a million files is smaller."""

_SEAL = 32
_LENGTH = 8
_KEY = 32
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | _SAFE | getattr(os, "O_NONBLOCK", 0)  # don't wait for a pipe
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE
_MARK = b"a folder that baton-lint made"


class Sealed:
    """The content of a file: a head, and a body whose seal is checked only on access.

    Attributes:
        head: The first part, which has a valid seal.
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
        """The second part; None if it is not the one that we wrote with this head."""
        return self._body if _seal(self._key, self._body, self._head_seal) == self._body_seal else None


def read(path: str) -> Sealed | None:
    """Read a file; None if there is none, or it has no valid seal."""
    try:
        if not _is_folder(os.path.dirname(path)):
            return None
        data = _content(path)
        key = _key()
        return None if key is None else Sealed(key, data)
    except (OSError, ValueError):
        return None


def write(path: str, head: bytes, body: bytes = b"") -> bool:
    """Write a file atomically. Its folder is created, and kept out of version control. Return False if that fails."""
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
        if os.path.lexists(temporary):  # left by a process that was killed, or a link that an attacker put there
            os.unlink(temporary)
        _create(temporary, (seal, measured, _seal(key, body, seal), body))
        os.replace(temporary, path)
    except (OSError, ValueError):
        return False
    return True


def is_own_folder(folder: str) -> bool:
    """Whether we created a folder into which another program will write. It is created if it does not exist."""
    if os.path.islink(os.path.dirname(folder)):
        return False
    if os.path.lexists(folder):
        mark = read(os.path.join(folder, ".baton"))
        return mark is not None and mark.head == _MARK
    return write(os.path.join(folder, ".baton"), _MARK)


def _is_folder(path: str) -> bool:
    """Whether a path is a folder, and not a link to one."""
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _content(path: str) -> bytes:
    """The bytes of a plain file of our own.

    Raises:
        OSError: If it can't be read, is not a plain file, or belongs to another user.
    """
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        is_ours = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
        if not stat.S_ISREG(status.st_mode) or not is_ours or status.st_size > LARGEST:
            raise PermissionError(f"{path} is not a file of ours")
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
    """The digest of a content."""
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
    """Create a key and store it for the next run; None if it can't be stored."""
    path = _key_path()
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        _create(temporary, (os.urandom(_KEY),))
        try:
            os.link(temporary, path)  # atomic, and never overwrites the key of another process
        except FileExistsError:
            pass
        finally:
            os.unlink(temporary)
    except (OSError, ValueError):
        return None
    return _key()
