# SPDX-License-Identifier: Apache-2.0
"""``dataclass`` of the standard library, made in a third of the time if it is ``frozen=True, slots=True``.

A program makes two hundred of these classes while it starts, which was a fifth of a client's start: the standard
library compiles each of seven methods by itself. Here those that depend on the fields are compiled together, and the
others are shared. Type checkers see the standard library's. Everything else is its work, too: the fields,
``__match_args__``, the slots, and every class that is not both frozen and slotted.
``tests/unit/core/test_fast_dataclass.py`` compares the two.

Not supported: ``InitVar``, and a base or subclass that the standard library froze. Both fail at the import.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass

    __all__ = ["dataclass"]
else:
    import dataclasses
    from reprlib import recursive_repr

    def dataclass(*, frozen=False, slots=False, **others):
        """As ``dataclasses.dataclass`` with these arguments."""
        if not (frozen and slots) or others:
            return dataclasses.dataclass(frozen=frozen, slots=slots, **others)
        return _make_frozen

    def _make_frozen(cls):
        cls = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
        known = dataclasses.fields(cls)
        if any(isinstance(field.type, dataclasses.InitVar) for field in cls.__dataclass_fields__.values()):
            raise TypeError(f"{cls.__qualname__}: a fast dataclass takes no InitVar")
        methods = {
            **_compiled(cls, known),
            "__repr__": _repr([field.name for field in known if field.repr]),
            "__setattr__": _refuse_to_set,
            "__delattr__": _refuse_to_delete,
            "__getstate__": _get_state,
            "__setstate__": _set_state,
        }
        for name, method in methods.items():
            # What the class defines itself stays. A class with an __eq__ of its own has None for __hash__.
            if cls.__dict__.get(name) is None:
                setattr(cls, name, method)
        return cls

    def _compiled(cls, fields):
        """The methods that are made from text: of each field, and at once."""
        names = {"_missing": dataclasses.MISSING}
        parameters, body = _init(cls, fields, names)
        compared = [field.name for field in fields if field.compare]
        own, others = ("".join(f"{who}.{name}, " for name in compared) for who in ("self", "other"))
        text = f"""\
def __init__({parameters}):
 {body}
def __eq__(self, other):
 return ({own}) == ({others}) if other.__class__ is self.__class__ else NotImplemented
def __hash__(self):
 return hash(({own}))
"""
        methods = {}
        exec(text, names, methods)  # noqa: S102  # made of names of fields
        for name, method in methods.items():
            method.__qualname__ = f"{cls.__qualname__}.{name}"
        annotations = {field.name: field.type for field in fields if field.init}
        methods["__init__"].__annotations__ = annotations | {"return": None}
        return methods

    def _init(cls, fields, names):
        """Parameters and body of ``__init__``; what they refer to goes into ``names``.

        Each slot is set by its own descriptor, because ``__setattr__`` refuses.
        """
        positional, keywords, lines = ["self"], [], []
        for field in fields:
            name = value = parameter = field.name
            names[f"_set_{name}"] = getattr(cls, name).__set__
            if field.default is not dataclasses.MISSING:
                names[f"_default_{name}"] = field.default
                parameter = f"{name}=_default_{name}"
                value = name if field.init else f"_default_{name}"
            elif field.default_factory is not dataclasses.MISSING:
                names[f"_make_{name}"] = field.default_factory
                parameter = f"{name}=_missing"
                value = f"_make_{name}() if {name} is _missing else {name}" if field.init else f"_make_{name}()"
            elif not field.init:
                continue
            lines.append(f"_set_{name}(self, {value})")
            if field.init:
                (keywords if field.kw_only else positional).append(parameter)
        if hasattr(cls, "__post_init__"):
            lines.append("self.__post_init__()")
        return ", ".join([*positional, *(["*", *keywords] if keywords else [])]), "; ".join(lines) or "pass"

    def _repr(names):
        @recursive_repr()
        def __repr__(self):  # noqa: N807
            shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
            return f"{self.__class__.__qualname__}({shown})"

        return __repr__

    def _refuse_to_set(self, name, _value):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_to_delete(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def _get_state(self):
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def _set_state(self, state):
        for field, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)
