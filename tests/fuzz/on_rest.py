# SPDX-License-Identifier: Apache-2.0
"""Targets: what requests of REST v2 hold, and what a server's stream of events may hold."""

from typing import Final

from remsim.rest import models
from remsim.rest.errors import refusal
from remsim.rest.stream import EventReader
from remsim.server.api.v2 import reading
from remsim.server.core.card_choice import CardChoice
from remsim.server.core.labels import parse_subject

_KEYS: Final[tuple[reading.Key, ...]] = ((0,), (0, 0), ("",))


def cursors(raw: bytes) -> None:
    """A cursor has the key of the list that the first byte chooses, and is what that key makes."""
    like = _KEYS[raw[0] % len(_KEYS)] if raw else _KEYS[0]
    key = reading.read_cursor(raw[1:].decode("latin-1"), like)
    assert [type(part) for part in key] == [type(part) for part in like]
    if all(isinstance(part, int) or part.isprintable() for part in key):
        assert reading.read_cursor(reading.write_cursor(key), like) == key


def orders(raw: bytes) -> None:
    """A body names cards that can be looked for."""
    CardChoice.parse(reading.read_model(raw, models.MappingOrder).card)


def subjects(raw: bytes) -> None:
    """What has labels has one form."""
    subject = parse_subject(raw.decode("utf-8", "replace"))
    assert parse_subject(subject) == subject


def event_streams(raw: bytes) -> None:
    """A stream comes in lines of any kind. What a problem says is read as far as it can be."""
    assert refusal(400, raw).status == 400
    reader = EventReader()
    for line in raw.decode("utf-8", "replace").splitlines():
        found = reader.on_line(line)
        assert found is None or found.kind
