"""Prepare what a step exchanged with a model for storage: as plain data, without secrets, and not too large."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from baton_dsl.core.wording import storable

REDACTED: Final = "[redacted]"
DEEPEST: Final = 60
"""The most levels of nested data that are kept."""
MOST_BYTES: Final = 256 * 1024
"""The most bytes of JSON that are kept of a request, and of a response."""
MOST_ENTRIES: Final = 20_000
"""The most values of a request or a response that are kept."""

_SECRET_KEY: Final = re.compile(
    r"(?:^|_)(?:authorization|api_?key|access_?key|secret_?key|private_?key|signing_?key|encryption_?key|subscription_?key"
    r"|secret|client_?secret|password|passwd|passphrase|pwd|credentials?|cookie|set_?cookie|session_?id|bearer|jwt|dsn"
    r"|(?:access|refresh|auth|id|api|session|security|csrf|bearer|bot|user)_?token|x_goog_api_key)s?$|(?:^|_)token$"
)
"""Names of keys whose values are secrets, in lower case and with `_` between words."""

_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")

_ASSIGNED: Final = (
    r"(?i)(?:(?<=[?&\s\"'({\[,;])|(?<![^\n]))"
    r"(?:[\w-]*(?:api[_-]?key|secret|password|passwd|access[_-]?token|auth[_-]?token|refresh[_-]?token|authorization))"
    r"[\"']?\s*[:=]\s*[\"']?(?!\[redacted)[^\s\"'&,;})\]]{3,}"
)
"""Finds `password=hunter2` in a text."""

_PATTERNS: Final = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"\bsk-[A-Za-z0-9_-]{8,}",  # OpenAI, Anthropic, OpenRouter
    r"\b(?:gsk|xai|pplx|hf|r8|fw|tgp|nvapi|glpat|shpat|dop)[_-][A-Za-z0-9_-]{12,}",
    r"\bAIza[A-Za-z0-9_-]{20,}",  # Google
    r"\bya29\.[A-Za-z0-9_-]{10,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}",  # AWS
    r"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{16,}",
    r"\bgithub_pat_[A-Za-z0-9_]{16,}",
    r"\bxox[abposr]-[A-Za-z0-9-]{10,}",  # Slack
    r"\b[rsp]k_(?:live|test)_[A-Za-z0-9]{10,}",  # Stripe
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",  # JSON web tokens
    r"(?<=://)[^/\s:@\"']*:[^/\s@\"']+(?=@)",  # the user and the password of a URL
    r"(?i)(?<=\bbearer )[A-Za-z0-9._~+/=-]{6,}",
    r"(?i)(?<=\bbasic )[A-Za-z0-9+/=]{8,}",
    _ASSIGNED,
)

_own_keys: Final[set[str]] = set()
_own_patterns: Final[list[str]] = []
_compiled: list[re.Pattern[str]] = []


def redact_also(*, keys: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
    r"""Declare further secrets, for this process, in addition to those that are known.

    Args:
        keys: Keys whose values are secrets, such as `ssn` or `X-Tenant-Key`. Case does not matter.
        patterns: Regular expressions that match secrets in any text.

    Raises:
        re.error: If a pattern is not a regular expression.

    Example:
        >>> redact_also(keys=["ssn"], patterns=[r"\bACME-\d{6}\b"])
        >>> without_secrets({"ssn": "123", "note": "ticket ACME-123456"})
        {'ssn': '[redacted]', 'note': 'ticket [redacted]'}
    """
    patterns = list(patterns)
    for pattern in patterns:
        re.compile(pattern)
    _own_keys.update(map(_plain_key, keys))
    _own_patterns.extend(patterns)
    _compiled.clear()


def captured(value: object) -> str:
    """A request or a response as JSON: without secrets, and shortened if it is too large.

    Args:
        value: The request or the response.
    """
    data = without_secrets(value)
    text = json.dumps(data, ensure_ascii=False)
    size = len(text.encode())
    if size <= MOST_BYTES:
        return text
    for longest in (8_192, 1_024, 128):
        text = json.dumps(_shortened(data, longest), ensure_ascii=False)
        if len(text.encode()) <= MOST_BYTES:
            return text
    head = text.encode()[: MOST_BYTES // 8].decode(errors="ignore")
    return json.dumps({"truncated": head, "bytes": size}, ensure_ascii=False)


def without_secrets(value: object) -> Any:
    """Convert a value to plain JSON data, with each secret replaced by `[redacted]`."""
    return _Redaction().plain(value, 0)


def text_without_secrets(text: str) -> str:
    """Replace each secret in a text by `[redacted]`."""
    if not _compiled:
        _compiled.extend(re.compile(pattern, re.DOTALL) for pattern in (*_PATTERNS, *_own_patterns))
    for pattern in _compiled:
        text = pattern.sub(_replaced, text)
    return storable(text)


def is_secret_key(key: str) -> bool:
    """Whether the value of a key is a secret.

    Example:
        >>> [is_secret_key(key) for key in ("x-api-key", "clientSecret", "Authorization", "max_tokens", "tokens")]
        [True, True, True, False, False]
    """
    plain = _plain_key(key)
    return _SECRET_KEY.search(plain) is not None or plain in _own_keys


def _plain_key(key: str) -> str:
    return _WORDS.sub("_", key).strip("_").lower()


def _replaced(found: re.Match[str]) -> str:
    """The replacement of a secret; in `name=value`, the name stays."""
    text = found[0]
    for sign in ("=", ":"):
        name, separator, _ = text.partition(sign)
        if separator and re.fullmatch(r"[\w\"' -]+", name) and not text.startswith("-----"):
            return f"{name}{separator}{REDACTED}"
    return REDACTED


class _Redaction:
    """One walk through a value, which may contain itself."""

    def __init__(self) -> None:
        self._above: set[int] = set()
        self._entries = 0

    def plain(self, value: Any, depth: int) -> Any:
        """Convert a value to plain data."""
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            return "... more is left out"
        if isinstance(value, Enum):
            return self.plain(value.value, depth)
        match value:
            case None | bool() | int():
                return value
            case float():
                return value if isfinite(value) else str(value)
            case str():
                return self._text(str(value), depth)
            case bytes() | bytearray() | memoryview():
                return self._text(bytes(value).decode("utf-8", "backslashreplace"), depth)
            case Decimal() | UUID() | date() | datetime() | time() | timedelta() | PurePath():
                return self._text(str(value), depth)
        if _hides_itself(value):
            return REDACTED
        if depth >= DEEPEST:
            return "... nested too deeply"
        if id(value) in self._above:
            return "... a part of itself"
        self._above.add(id(value))
        try:
            return self._parts(value, depth)
        except Exception as error:  # noqa: BLE001 - reading an object of a client may raise anything
            return f"... a {type(value).__name__} that can't be read: {type(error).__name__}"
        finally:
            self._above.discard(id(value))

    def _parts(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._object(value.items(), depth)
        if isinstance(value, tuple) and hasattr(value, "_asdict"):
            return self._object(value._asdict().items(), depth)
        if isinstance(value, list | tuple | Set):
            if len(value) == 2 and isinstance(value, list | tuple) and isinstance(value[0], str | bytes):
                name = value[0] if isinstance(value[0], str) else value[0].decode("utf-8", "replace")
                if is_secret_key(name):  # a header
                    return [name, REDACTED]
            return [self.plain(item, depth + 1) for item in value]
        if isinstance(fields := getattr(type(value), "model_fields", None), Mapping):  # pydantic
            named = {name: getattr(value, name, None) for name in fields}
            extra = getattr(value, "model_extra", None)
            return self._object({**named, **(extra if isinstance(extra, Mapping) else {})}.items(), depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._object(((it.name, getattr(value, it.name, None)) for it in dataclasses.fields(value)), depth)
        if isinstance(value, BaseException):
            return self._text(f"{type(value).__name__}: {value}", depth)
        return self._text(repr(value)[:2_000], depth)

    def _object(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in items:
            name = key if isinstance(key, str) else str(self.plain(key, depth + 1))
            secret = is_secret_key(name) and not isinstance(value, bool | None)
            found[text_without_secrets(name)] = REDACTED if secret else self.plain(value, depth + 1)
        named = found.get("name", found.get("key"))
        if isinstance(named, str) and "value" in found and is_secret_key(named):  # a header, or a variable
            found["value"] = REDACTED
        return found

    def _text(self, text: str, depth: int) -> str:
        stripped = text.lstrip()
        if stripped[:1] in ("{", "[") and depth < DEEPEST:  # the arguments of a tool are a JSON text within JSON
            try:
                inner = json.loads(text)
            except (ValueError, RecursionError):
                pass
            else:
                return json.dumps(self.plain(inner, depth + 1), ensure_ascii=False)
        return text_without_secrets(text)


def _hides_itself(value: object) -> bool:
    """True for pydantic's secret types and similar ones."""
    return hasattr(value, "get_secret_value")


def _shortened(data: Any, longest: int) -> Any:
    """Cut the long texts in plain data."""
    match data:
        case str() if len(data) > longest:
            return f"{data[:longest]}... {len(data) - longest:,} characters are left out"
        case list():
            return [_shortened(item, longest) for item in data]
        case dict():
            return {key: _shortened(value, longest) for key, value in data.items()}
    return data
