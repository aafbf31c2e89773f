# SPDX-License-Identifier: Apache-2.0
"""Dataclasses of ours are those of the standard library, but for the time that it takes to make them."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import InitVar, field, replace
from functools import partial
from typing import ClassVar, Generic, TypeVar

import pytest

from remsim.core import values

T = TypeVar("T")

#: Both decorators, by what makes a class with them.
DECORATORS = [values.dataclass, dataclasses.dataclass]


def _classes(dataclass: Callable[..., Callable[[type], type]]) -> dict[str, type]:
    """Classes with all that fields can be."""

    @dataclass(frozen=True, slots=True)
    class Plain:
        """Nothing special."""

        number: int
        text: str = "?"

        COUNT: ClassVar[int] = 3

        @property
        def double(self) -> int:
            return 2 * self.number

    @dataclass(frozen=True, slots=True)
    class Below(Plain):
        """Another default, and more fields."""

        text: str = "below"
        items: list[int] = field(default_factory=list)
        hidden: int = field(default=7, repr=False, compare=False)

    @dataclass(frozen=True, slots=True)
    class Odd:
        """Fields that are no arguments, or by name only; and a check."""

        first: int
        made: list[int] = field(default_factory=lambda: [1], init=False)
        fixed: int = field(default=9, init=False)
        late: int = field(init=False, compare=False)
        named: int = field(default=5, kw_only=True)
        unhashed: int = field(default=1, hash=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "late", self.first + self.named)

    return {each.__name__: each for each in (Plain, Below, Odd)}


def _special(dataclass: Callable[..., Callable[[type], type]]) -> dict[str, type]:
    """Classes that say something themselves, or nothing."""

    @dataclass(frozen=True, slots=True)
    class Own:
        """Says itself how it looks and what it equals."""

        number: int

        def __repr__(self) -> str:
            return f"<{self.number}>"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own) and self.number % 10 == other.number % 10

        def __hash__(self) -> int:
            return self.number % 10

    @dataclass(frozen=True, slots=True)
    class Empty:
        """No field."""

    @dataclass(frozen=True, slots=True)
    class Boxed(Generic[T]):
        """Of any type."""

        value: T

    return {each.__name__: each for each in (Own, Empty, Boxed)}


OURS, THEIRS = (_classes(decorator) | _special(decorator) for decorator in DECORATORS)

#: A class, and arguments for it.
CALLS: list[tuple[str, tuple[object, ...], dict[str, object]]] = [
    ("Plain", (1,), {}),
    ("Plain", (1, "a"), {}),
    ("Plain", (), {"text": "a", "number": 2}),
    ("Below", (1,), {}),
    ("Below", (1, "a", [3]), {"hidden": 8}),
    ("Odd", (1,), {}),
    ("Odd", (1,), {"named": 6, "unhashed": 2}),
    ("Own", (12,), {}),
    ("Empty", (), {}),
    ("Boxed", (1,), {}),
    ("Boxed", ([1],), {}),
]


def _seen(kind: type, arguments: tuple[object, ...], named: dict[str, object]) -> list[object]:
    """What can be seen of an object, with the names of what is raised."""
    made = kind(*arguments, **named)
    again = kind(*arguments, **named)
    attempts: list[Callable[[], object]] = [
        lambda: repr(made),
        lambda: made == again,
        lambda: made != again,
        lambda: made == object(),
        lambda: hash(made) == hash(again),
        lambda: dataclasses.asdict(made),
        lambda: [each.name for each in dataclasses.fields(made)],
        lambda: replace(made) == made,
        lambda: copy.copy(made) == made,
        lambda: copy.deepcopy(made) == made,
        lambda: vars(kind)["__match_args__"],
        lambda: vars(kind)["__slots__"],
        lambda: str(inspect.signature(kind)),
        lambda: kind.__doc__,
        *(partial(setattr, made, each.name, 1) for each in dataclasses.fields(made)),
        *(partial(delattr, made, each.name) for each in dataclasses.fields(made)),
    ]
    seen: list[object] = []
    for attempt in attempts:
        try:
            seen.append(attempt())
        except (TypeError, AttributeError) as error:
            seen.append((type(error), str(error)))
    return seen


@pytest.mark.parametrize(("name", "arguments", "named"), CALLS)
def test_object_is_as_one_of_the_standard_library(
    name: str, arguments: tuple[object, ...], named: dict[str, object]
) -> None:
    assert _seen(OURS[name], arguments, named) == _seen(THEIRS[name], arguments, named)


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("Plain", (), {}),
        ("Plain", (1, "a", 2), {}),
        ("Plain", (1,), {"unknown": 1}),
        ("Odd", (1, 2, 3), {}),
        ("Empty", (1,), {}),
    ],
)
def test_wrong_arguments_are_refused_in_the_same_words(
    name: str, arguments: tuple[object, ...], named: dict[str, object]
) -> None:
    said = []
    for classes in (OURS, THEIRS):
        with pytest.raises(TypeError) as raised:
            classes[name](*arguments, **named)
        said.append(str(raised.value))
    assert said[0] == said[1]


def test_attribute_that_is_no_field_cannot_be_set_or_deleted() -> None:
    plain = OURS["Plain"](1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plain.unknown = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        del plain.unknown


def test_objects_of_two_classes_are_never_equal() -> None:
    plain, below = OURS["Plain"](1), OURS["Below"](1, "?")
    assert plain != below
    assert OURS["Own"](2) == OURS["Own"](12)
    assert len({OURS["Plain"](1), OURS["Plain"](1), OURS["Plain"](2)}) == 2


def test_each_object_gets_a_value_of_its_factory() -> None:
    first, second = OURS["Below"](1), OURS["Below"](1)
    first.items.append(1)
    assert (first.items, second.items) == ([1], [])


@values.dataclass(frozen=True, slots=True)
class _Sent:
    """Goes through a pickle."""

    number: int
    text: str


def test_object_survives_a_pickle() -> None:
    sent = _Sent(1, "a")
    assert pickle.loads(pickle.dumps(sent)) == sent  # noqa: S301  # of ours


def test_class_below_that_is_no_dataclass_has_attributes_of_its_own() -> None:
    class Below(_Sent):
        """Notes something."""

    below = Below(1, "a")
    below.note = "b"  # type: ignore[attr-defined]  # Python allows it
    assert below.note == "b"  # type: ignore[attr-defined]
    del below.note  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'number'"):
        below.number = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'text'"):
        del below.text


def test_what_is_not_frozen_is_made_by_the_standard_library() -> None:
    @values.dataclass(slots=True)
    class Changing:
        """May change."""

        number: int

    changing = Changing(1)
    changing.number = 2
    assert changing == Changing(2)


def test_init_var_is_refused() -> None:
    with pytest.raises(TypeError, match="InitVar"):

        @values.dataclass(frozen=True, slots=True)
        class Started:
            """Begins with something."""

            number: InitVar[int]


def test_class_that_sets_attributes_its_own_way_is_refused() -> None:
    with pytest.raises(TypeError, match="is frozen"):

        @values.dataclass(frozen=True, slots=True)
        class Loose:
            """Not frozen at all."""

            number: int

            def __setattr__(self, name: str, value: object) -> None:
                object.__setattr__(self, name, value)
