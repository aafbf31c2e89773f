# SPDX-License-Identifier: Apache-2.0
"""Classes made by ``fast_dataclass`` do what those of the standard library do, each looked at in both."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import KW_ONLY, FrozenInstanceError, InitVar, field
from typing import Any, ClassVar

import pytest

from remsim.core import fast_dataclass

Decorator = Callable[..., Any]

MAKERS: dict[str, Decorator] = {"standard": dataclasses.dataclass, "fast": fast_dataclass.dataclass}


@pytest.fixture(params=MAKERS)
def dataclass(request: pytest.FixtureRequest) -> Decorator:
    return MAKERS[request.param]


def _plain(dataclass: Decorator) -> Any:
    @dataclass(frozen=True, slots=True)
    class Plain:
        """Fields with and without a default."""

        kind: ClassVar[str] = "plain"

        number: int
        text: str = "x"
        rest: list[int] = field(default_factory=list)

    return Plain


def test_fields_are_given_by_place_name_or_default(dataclass: Decorator) -> None:
    cls = _plain(dataclass)
    made = [cls(1), cls(1, "y"), cls(number=1, rest=[2]), cls(1, "z", [3])]
    assert [(one.number, one.text, one.rest) for one in made] == [
        (1, "x", []),
        (1, "y", []),
        (1, "x", [2]),
        (1, "z", [3]),
    ]
    assert cls(1).rest is not cls(1).rest
    assert (cls.kind, cls.__match_args__) == ("plain", ("number", "text", "rest"))
    assert [one.name for one in dataclasses.fields(cls)] == ["number", "text", "rest"]


@pytest.mark.parametrize("given", [((), {}), ((1, "y", [], 4), {}), ((1,), {"number": 1}), ((1,), {"other": 1})])
def test_wrong_arguments_are_refused(dataclass: Decorator, given: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    positional, named = given
    with pytest.raises(TypeError, match=r"__init__\(\)"):
        _plain(dataclass)(*positional, **named)


def test_signature_names_each_field(dataclass: Decorator) -> None:
    signature = inspect.signature(_plain(dataclass))
    assert list(signature.parameters) == ["number", "text", "rest"]
    assert signature.parameters["text"].default == "x"
    assert signature.parameters["number"].annotation is int


def test_nothing_can_be_set_or_deleted(dataclass: Decorator) -> None:
    one = _plain(dataclass)(1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'number'"):
        one.number = 2
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'number'"):
        del one.number
    # The standard library of Python 3.11 fails with the class that it made anew for the slots.
    with pytest.raises((FrozenInstanceError, TypeError)):
        one.unknown = 1
    assert not hasattr(one, "__dict__")
    assert one.number == 1


def test_equal_are_those_of_one_class_with_equal_fields(dataclass: Decorator) -> None:
    cls = _plain(dataclass)
    assert cls(1, "y") == cls(1, "y")
    assert cls(1) != cls(2)
    assert cls(1) != _plain(dataclass)(1)
    assert cls(1) != (1, "x", [])
    assert cls(1).__eq__((1, "x", [])) is NotImplemented


def _measured(dataclass: Decorator, count: int) -> Any:
    annotations = {f"field{number}": int for number in range(count)}
    return dataclass(frozen=True, slots=True)(type("Sized", (), {"__doc__": "", "__annotations__": annotations}))


@pytest.mark.parametrize("count", range(4))
def test_hash_depends_on_the_fields(dataclass: Decorator, count: int) -> None:
    cls = _measured(dataclass, count)
    values = tuple(range(count))
    assert hash(cls(*values)) == hash(values)
    assert {cls(*values): "found"}[cls(*values)] == "found"
    assert cls(*values) == cls(*values)


def test_list_in_a_field_cannot_be_hashed(dataclass: Decorator) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(_plain(dataclass)(1))


def test_fields_may_be_left_out_of_comparison_repr_and_arguments(dataclass: Decorator) -> None:
    @dataclass(frozen=True, slots=True)
    class Sparse:
        """Each field lacks something."""

        number: int
        note: str = field(default="", compare=False)
        secret: str = field(default="", repr=False)
        fixed: int = field(default=7, init=False)
        made: list[int] = field(default_factory=list, init=False, compare=False)

    one = Sparse(1, "a", "b")
    assert one == Sparse(1, "c", "b") != Sparse(1, "c", "d")
    assert hash(one) == hash((1, "b", 7))
    assert repr(one).endswith("Sparse(number=1, note='a', fixed=7, made=[])")
    assert list(inspect.signature(Sparse).parameters) == ["number", "note", "secret"]


def test_fields_behind_the_mark_are_given_by_name_only(dataclass: Decorator) -> None:
    @dataclass(frozen=True, slots=True)
    class Named:
        """Two of its fields need their names."""

        number: int = 0
        _: KW_ONLY
        first: int
        second: int = 2

    assert (Named(first=1).number, Named(5, first=1).first, Named(first=1).second) == (0, 1, 2)
    with pytest.raises(TypeError):
        Named(5, 1)  # type: ignore[call-arg]  # this is what the test is about


def test_what_the_class_defines_stays(dataclass: Decorator) -> None:
    @dataclass(frozen=True, slots=True)
    class Own:  # noqa: PLW1641  # the decorator adds __hash__
        """Compares and shows itself."""

        number: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own)

        def __repr__(self) -> str:
            return "own"

    assert Own(1) == Own(2)
    assert repr(Own(1)) == "own"
    assert hash(Own(1)) == hash((1,))


def test_made_objects_are_checked_after_all_fields_are_set(dataclass: Decorator) -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        """Refuses negative numbers, and keeps the text in lower case."""

        number: int
        text: str = ""

        def __post_init__(self) -> None:
            if self.number < 0:
                raise ValueError(self.text)
            object.__setattr__(self, "text", self.text.lower())

    assert Checked(1, "ABC").text == "abc"
    with pytest.raises(ValueError, match="why"):
        Checked(-1, "why")
    assert dataclasses.replace(Checked(1, "a"), number=2) == Checked(2, "a")
    with pytest.raises(ValueError, match="a"):
        dataclasses.replace(Checked(1, "a"), number=-2)


def test_subclass_has_the_fields_of_its_base_first(dataclass: Decorator) -> None:
    base = _plain(dataclass)

    @dataclass(frozen=True, slots=True)
    class More(base):  # type: ignore[misc,valid-type]  # the base is a value here
        """One field more, and another default."""

        text: str = "other"
        more: int = 3

    one = More(1)
    assert (one.number, one.text, one.rest, one.more) == (1, "other", [], 3)
    assert one != base(1, "other")
    with pytest.raises(FrozenInstanceError):
        one.number = 2
    assert dataclasses.asdict(one) == {"number": 1, "text": "other", "rest": [], "more": 3}


def test_shown_with_the_name_of_the_class_and_without_end(dataclass: Decorator) -> None:
    one = _plain(dataclass)(1)
    assert repr(one).endswith("Plain(number=1, text='x', rest=[])")
    one.rest.append(one)
    assert repr(one).endswith("Plain(number=1, text='x', rest=[...])")


@fast_dataclass.dataclass(frozen=True, slots=True)
class _Kept:
    """At the top of its module, where pickle finds it."""

    number: int
    rest: list[int] = field(default_factory=list)


def test_copies_are_equal() -> None:
    one = _Kept(1, [2])
    assert copy.copy(one) == one
    assert copy.deepcopy(one).rest is not one.rest
    assert copy.replace(one, number=1) == one if hasattr(copy, "replace") else dataclasses.replace(one) == one
    assert pickle.loads(pickle.dumps(_Kept(3, [4]))) == _Kept(3, [4])  # noqa: S301  # our own bytes


def test_matched_by_place() -> None:
    match _Kept(1, [2]):
        case _Kept(number, rest):
            assert (number, rest) == (1, [2])


@pytest.mark.parametrize("options", [{"slots": True}, {"frozen": True}, {"frozen": True, "slots": True, "order": True}])
def test_other_classes_are_those_of_the_standard_library(options: dict[str, bool]) -> None:
    def made_by(dataclass: Decorator) -> Any:
        @dataclass(**options)
        class Number:
            """Of one field."""

            number: int = 0

        return Number

    fast, standard = (made_by(dataclass) for dataclass in (MAKERS["fast"], MAKERS["standard"]))
    assert repr(fast.__dataclass_params__) == repr(standard.__dataclass_params__)
    assert vars(fast).keys() == vars(standard).keys()


def test_variable_of_init_is_refused() -> None:
    with pytest.raises(TypeError, match="takes no InitVar"):

        @fast_dataclass.dataclass(frozen=True, slots=True)
        class Number:
            number: InitVar[int]


def test_class_frozen_by_the_standard_library_cannot_be_a_base() -> None:
    @dataclasses.dataclass(frozen=True)
    class Base:
        """Of the standard library."""

        number: int

    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):

        @fast_dataclass.dataclass(frozen=True, slots=True)
        class Number(Base):
            """Of ours."""
