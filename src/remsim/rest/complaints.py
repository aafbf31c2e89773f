# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a body of REST v2, in words: for the server, and for commands that check before they ask."""

import json
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from remsim.core.values import dataclass

#: What says that a value is not of a kind.
_KINDS: Final = frozenset({"string_type", "model_type"})
#: How places name which kind of a value is meant.
_ALTERNATIVES: Final = frozenset({"[key]", "str", "MappingOrder"})
#: Of what was given and of its place, so much is said again.
_MAX_SHOWN: Final = 40
_MAX_PLACE: Final = 100


@dataclass(frozen=True, slots=True)
class Complaint:
    """``text`` says what is wrong, ``example`` how it is written; that may be empty."""

    text: str
    example: str = ""

    @property
    def hint(self) -> str:
        """For people; may be empty."""
        return f"write for example {self.example}" if self.example else ""


def complaint(error: ValidationError, model: type[BaseModel]) -> Complaint:
    """The first thing that is wrong with a body of this model."""
    errors = error.errors(include_url=False, include_context=False)
    # Where a value may be of two kinds, that it is not of the other one is no fault of its own.
    first = next((each for each in errors if each["type"] not in _KINDS), errors[0])
    place = tuple(part for part in first["loc"] if part not in _ALTERNATIVES)
    found = _field(model, place[0]) if place else None
    where = _where(place, found)
    example = "" if found is None else _example(found)
    given: object = first["input"]
    match first["type"]:
        case "extra_forbidden":
            there_are = "" if len(place) > 1 else f"; there are {', '.join(_names(model))}"
            return Complaint(f"{where}: there is no such member{there_are}", example)
        case "model_type" if not place:
            return Complaint("the body is no JSON object")
        case "missing":
            return Complaint(f"{where} is missing", example)
        case "string_pattern_mismatch" if isinstance(given, str):
            return Complaint(f"{where}: {given[:_MAX_SHOWN]!r} is not written as it should be", example)
        case "string_too_short" | "string_too_long":
            # How long it may be says enough; and an example of a secret would be taken for one.
            return Complaint(f"{where}: {uncapitalized(first['msg'])}")
        case _:
            return Complaint(f"{where}: {uncapitalized(first['msg'])}", example)


def uncapitalized(text: str) -> str:
    """What a library says, to go on with behind a colon; of no more than 200 characters."""
    return text[:1].lower() + text[1:200]


def _where(place: tuple[int | str, ...], found: FieldInfo | None) -> str:
    if not place:
        return "the body"
    name = place[0] if found is None or found.alias is None else found.alias
    return ".".join(str(part) for part in (name, *place[1:]))[:_MAX_PLACE]


def _field(model: type[BaseModel], name: int | str) -> FieldInfo | None:
    return next((field for key, field in model.model_fields.items() if name in (key, field.alias)), None)


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or key for key, field in model.model_fields.items()]


def _example(field: FieldInfo) -> str:
    examples: list[object] = field.examples or []
    return ", ".join(each if isinstance(each, str) else json.dumps(each) for each in examples)
