"""The bases of the standard library's classes, as in typeshed, and which of the classes JSON can carry."""

from __future__ import annotations

from typing import Final

from baton_dsl.core.terms import ClassFacts, Instance, Term

_T: Final = Instance("~T")
_K: Final = Instance("~K")
_V: Final = Instance("~V")


def _protocol(*bases: Term, parameters: tuple[Term, ...] = (_T,), serializable: bool | None = True) -> ClassFacts:
    return ClassFacts(bases=bases, parameters=parameters, is_protocol=True, serializable=serializable)


def _abc(name: str, *arguments: Term) -> Instance:
    return Instance(f"collections.abc.{name}", arguments)


def _generic(*bases: Term, parameters: tuple[Term, ...] = (_T,), serializable: bool | None = True) -> ClassFacts:
    return ClassFacts(bases=bases, parameters=parameters, serializable=serializable)


def _plain(*bases: str, serializable: bool | None = True) -> ClassFacts:
    return ClassFacts(bases=tuple(Instance(base) for base in bases), serializable=serializable)


OUTCOME: Final = "baton_dsl.outcome.Outcome"
"""Our class for the outcome of an item; rules create types with it."""

STANDARD: Final[dict[str, ClassFacts]] = {
    "builtins.object": ClassFacts(serializable=None),
    "types.NoneType": _plain(),
    # PEP 484's numeric tower: a checker lets an int go where a float is expected
    "builtins.complex": _plain(),
    "builtins.float": _plain("builtins.complex"),
    "builtins.int": _plain("builtins.float"),
    "builtins.bool": _plain("builtins.int"),
    "builtins.str": _generic(_abc("Sequence", Instance("builtins.str")), parameters=()),
    "builtins.bytes": _generic(_abc("Sequence", Instance("builtins.int")), parameters=()),
    "builtins.bytearray": ClassFacts(bases=(_abc("MutableSequence", Instance("builtins.int")),), serializable=False),
    "builtins.list": _generic(_abc("MutableSequence", _T)),
    "builtins.tuple": _generic(_abc("Sequence", _T)),
    "builtins.set": _generic(_abc("MutableSet", _T)),
    "builtins.frozenset": _generic(_abc("Set", _T)),
    "builtins.dict": _generic(_abc("MutableMapping", _K, _V), parameters=(_K, _V)),
    "collections.deque": _generic(_abc("MutableSequence", _T)),
    "collections.defaultdict": _generic(Instance("builtins.dict", (_K, _V)), parameters=(_K, _V)),
    "collections.OrderedDict": _generic(Instance("builtins.dict", (_K, _V)), parameters=(_K, _V)),
    "collections.Counter": _generic(Instance("builtins.dict", (_T, Instance("builtins.int")))),
    "collections.abc.Iterable": _protocol(),
    "collections.abc.Container": _protocol(serializable=False),
    "collections.abc.Sized": _protocol(parameters=(), serializable=False),
    "collections.abc.Hashable": _protocol(parameters=(), serializable=None),
    "collections.abc.Collection": _protocol(
        _abc("Iterable", _T), _abc("Container", _T), _abc("Sized"), serializable=False
    ),
    "collections.abc.Reversible": _protocol(_abc("Iterable", _T), serializable=False),
    "collections.abc.Sequence": _generic(_abc("Reversible", _T), _abc("Collection", _T)),
    "collections.abc.MutableSequence": _generic(_abc("Sequence", _T)),
    "collections.abc.Set": _generic(_abc("Collection", _T)),
    "collections.abc.MutableSet": _generic(_abc("Set", _T)),
    "collections.abc.Mapping": _generic(_abc("Collection", _K), parameters=(_K, _V)),
    "collections.abc.MutableMapping": _generic(_abc("Mapping", _K, _V), parameters=(_K, _V)),
    "datetime.date": _plain(),
    "datetime.datetime": _plain("datetime.date"),
    "datetime.time": _plain(),
    "datetime.timedelta": _plain(),
    "decimal.Decimal": _plain(),
    "fractions.Fraction": _plain(),
    "uuid.UUID": _plain(),
    "os.PathLike": _protocol(),
    "pathlib.PurePath": _generic(Instance("os.PathLike", (Instance("builtins.str"),)), parameters=()),
    "pathlib.PurePosixPath": _plain("pathlib.PurePath"),
    "pathlib.Path": _plain("pathlib.PurePath"),
    "pathlib.PosixPath": _plain("pathlib.Path", "pathlib.PurePosixPath"),
    "ipaddress.IPv4Address": _plain(),
    "ipaddress.IPv6Address": _plain(),
    "ipaddress.IPv4Network": _plain(),
    "ipaddress.IPv6Network": _plain(),
    "enum.Enum": _plain(),
    "enum.IntEnum": _plain("builtins.int", "enum.Enum"),
    "enum.StrEnum": _plain("builtins.str", "enum.Enum"),
    "pydantic.main.BaseModel": _plain(),
    "pydantic.root_model.RootModel": _plain("pydantic.main.BaseModel"),
    OUTCOME: _generic(),
    # JSON can't carry these, or only as asterisks
    "pydantic.types.SecretStr": _plain(serializable=False),
    "pydantic.types.SecretBytes": _plain(serializable=False),
    "builtins.type": ClassFacts(bases=(), parameters=(_T,), serializable=False),
    "builtins.memoryview": _plain(serializable=False),
    "builtins.BaseException": _plain(serializable=False),
    "builtins.Exception": _plain("builtins.BaseException", serializable=False),
    "types.ModuleType": _plain(serializable=False),
    "types.FunctionType": _plain(serializable=False),
    "typing.IO": ClassFacts(bases=(), parameters=(_T,), serializable=False),
    "typing.TextIO": _plain(serializable=False),
    "typing.BinaryIO": _plain(serializable=False),
    "collections.abc.Callable": ClassFacts(bases=(), parameters=(), serializable=False),
    "collections.abc.Awaitable": _protocol(serializable=False),
    "collections.abc.Coroutine": _generic(_abc("Awaitable", _V), parameters=(_T, _K, _V), serializable=False),
    "collections.abc.AsyncIterable": _protocol(serializable=False),
    "collections.abc.AsyncIterator": _protocol(_abc("AsyncIterable", _T), serializable=False),
    "collections.abc.AsyncGenerator": _generic(_abc("AsyncIterator", _T), parameters=(_T, _K), serializable=False),
    "collections.abc.Iterator": _protocol(_abc("Iterable", _T), serializable=False),
    "collections.abc.Generator": _generic(_abc("Iterator", _T), parameters=(_T, _K, _V), serializable=False),
    "socket.socket": _plain(serializable=False),
    "threading.Thread": _plain(serializable=False),
    "threading.Lock": _plain(serializable=False),
    "subprocess.Popen": ClassFacts(bases=(), parameters=(_T,), serializable=False),
    "contextlib.AbstractContextManager": ClassFacts(bases=(), parameters=(_T,), serializable=False),
    "logging.Logger": _plain(serializable=False),
}
"""Classes of the standard library, pydantic's base class and our own. Others are unknown: rules stay silent."""

IMPLEMENTED: Final = frozenset(
    name for name, facts in STANDARD.items() if facts.is_protocol and name != "collections.abc.Hashable"
)
"""Protocols whose implementations are all in `STANDARD`: any other class of it certainly does not implement them."""

NOT_KEYS: Final = (
    *("types.NoneType", "builtins.tuple", "builtins.list", "builtins.set", "builtins.frozenset", "builtins.dict"),
    "pydantic.main.BaseModel",
)
"""Types that JSON can carry as values but not as keys: keys are strings, and these can't be read from a string."""

ONLY_READ: Final = (
    *("pydantic.types.SecretStr", "pydantic.types.SecretBytes", "builtins.type", "collections.abc.Callable"),
    "collections.abc.Generator",
)
"""Types that pydantic can read from JSON, or accepts beside the types that it reads, but that JSON can't carry."""

DEFAULTDICT: Final = "collections.defaultdict"
HAVE_DEFAULT: Final = frozenset(
    {
        *(f"builtins.{name}" for name in ("float", "int", "str", "bool", "tuple", "list", "set", "frozenset", "dict")),
        *("collections.OrderedDict", "collections.Counter"),
        *(
            f"collections.abc.{name}"
            for name in ("Sequence", "MutableSequence", "Set", "MutableSet", "Mapping", "MutableMapping")
        ),
    }
)
"""The types of values of a `defaultdict` for which pydantic knows a default; it does not accept others."""

COVARIANT: Final = {
    "builtins.tuple": (True,),
    "builtins.frozenset": (True,),
    "builtins.type": (True,),
    OUTCOME: (True,),
    **dict.fromkeys(
        (
            f"collections.abc.{name}"
            for name in (
                *("Iterable", "Container", "Collection", "Reversible", "Sequence", "Set", "Iterator", "Awaitable"),
                *("AsyncIterable", "AsyncIterator"),
            )
        ),
        (True,),
    ),
    "collections.abc.Mapping": (False, True),
}
"""The covariant type parameters of each class; all others count as invariant (typeshed)."""
