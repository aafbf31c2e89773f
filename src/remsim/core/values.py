# SPDX-License-Identifier: Apache-2.0
"""Frozen dataclasses with slots, made five times as fast: each program makes hundreds of them when it starts.

The standard decorator writes and compiles six functions for each class, which was a quarter of a client's start. Here
only ``__init__`` is compiled; the other functions are the same for all classes but for the names of the fields. What is
made is a dataclass to ``fields``, ``replace``, ``asdict`` and ``match``, and to the type checker, which knows nothing
of this module. Two differences remain: a class that the standard decorator makes frozen neither inherits from one of
these, nor the other way round; and there is no ``InitVar``.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar

__all__ = ["dataclass"]

T = TypeVar("T")


class _Absent:
    """In place of an argument that was not given, where a factory makes the value."""

    def __repr__(self) -> str:
        return "<factory>"


_ABSENT: Final = _Absent()


def _made(cls: type[T]) -> type[T]:
    """``cls`` as a frozen dataclass with slots. Raises TypeError."""
    if any(isinstance(kind, dataclasses.InitVar) for kind in inspect.get_annotations(cls).values()):
        raise TypeError(f"{cls.__name__}: InitVar is for the decorator of the standard library")
    if "__setattr__" in cls.__dict__ or "__delattr__" in cls.__dict__:
        raise TypeError(f"{cls.__name__} is frozen, and cannot say itself how attributes are set")
    defines = {name for name in ("__init__", "__repr__", "__eq__") if name in cls.__dict__}
    made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    fields = dataclasses.fields(made)  # type: ignore[arg-type]  # the decorator says nothing of its result
    added: list[Callable[..., object]] = [*_sealing(made, fields), *_state_of(fields)]
    if "__init__" not in defines:
        added.append(_init_of(made, fields))
    if "__repr__" not in defines:
        added.append(_repr_of([field.name for field in fields if field.repr]))
    if "__eq__" not in defines:
        added.append(_eq_of([field.name for field in fields if field.compare]))
    if made.__dict__.get("__hash__") is None:
        hashed = [field.name for field in fields if (field.compare if field.hash is None else field.hash)]
        added.append(_hash_of(hashed))
    for function in added:
        function.__qualname__ = f"{made.__qualname__}.{function.__name__}"
        setattr(made, function.__name__, function)
    return made


def _init_of(cls: type, fields: Sequence["dataclasses.Field[object]"]) -> Callable[..., object]:
    """Compiled, because it is called for each message. It sets the slots themselves: the class refuses to."""
    known: dict[str, object] = {"_ABSENT": _ABSENT}
    plain, by_name, body = ["self"], list[str](), list[str]()
    for field in fields:
        name = field.name
        known[f"_set_{name}"] = getattr(cls, name).__set__
        has_factory = field.default_factory is not dataclasses.MISSING
        has_default = field.default is not dataclasses.MISSING
        known[f"_of_{name}"] = field.default_factory if has_factory else field.default
        if field.init:
            default = "=_ABSENT" if has_factory else f"=_of_{name}" if has_default else ""
            (by_name if field.kw_only else plain).append(f"{name}{default}")
            value = f"_of_{name}() if {name} is _ABSENT else {name}" if has_factory else name
        elif has_factory or has_default:
            value = f"_of_{name}()" if has_factory else f"_of_{name}"
        else:
            continue
        body.append(f" _set_{name}(self, {value})")
    if hasattr(cls, "__post_init__"):
        body.append(" self.__post_init__()")
    arguments = ", ".join([*plain, *(["*", *by_name] if by_name else [])])
    namespace: dict[str, Callable[..., object]] = {}
    exec(f"def __init__({arguments}):\n" + "\n".join(body or [" pass"]), known, namespace)  # noqa: S102  # own text
    init = namespace["__init__"]
    init.__annotations__ = {field.name: field.type for field in fields if field.init} | {"return": None}
    return init


def _repr_of(names: Sequence[str]) -> Callable[..., object]:
    def __repr__(self: object) -> str:  # noqa: N807
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"{type(self).__qualname__}({shown})"

    return __repr__


def _eq_of(names: Sequence[str]) -> Callable[..., object]:
    values = _getter(names)

    def __eq__(self: object, other: object) -> bool:  # noqa: N807
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash_of(names: Sequence[str]) -> Callable[..., object]:
    values = _getter(names)

    def __hash__(self: object) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _getter(names: Sequence[str]) -> Callable[[object], tuple[object, ...]]:
    """The values of these fields, as a tuple however many there are."""
    if not names:
        return lambda _: ()
    if len(names) > 1:
        return attrgetter(*names)
    get = attrgetter(names[0])
    return lambda value: (get(value),)


def _sealing(cls: type, fields: Sequence["dataclasses.Field[object]"]) -> tuple[Callable[..., object], ...]:
    """What refuses changes. A class below that is no dataclass may have attributes of its own."""
    names = frozenset(field.name for field in fields)

    def __setattr__(self: object, name: str, value: object) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)

    def __delattr__(self: object, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        object.__delattr__(self, name)

    return __setattr__, __delattr__


def _state_of(fields: Sequence["dataclasses.Field[object]"]) -> tuple[Callable[..., object], ...]:
    """What copies and pickles need: they would set the attributes one by one."""
    names = [field.name for field in fields]

    def __getstate__(self: object) -> list[object]:  # noqa: N807
        return [getattr(self, name) for name in names]

    def __setstate__(self: object, state: list[object]) -> None:  # noqa: N807
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return __getstate__, __setstate__


if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, **options):
        """As that of the standard library, which makes all but classes that are frozen, have slots and no more."""
        if cls is None and options == {"frozen": True, "slots": True}:
            return _made
        return dataclasses.dataclass(cls, **options)
