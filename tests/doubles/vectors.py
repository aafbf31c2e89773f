# SPDX-License-Identifier: Apache-2.0
"""The captured vectors as values: sessions with their frames, single messages, and frames that must be survived."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.reference import reference

#: The captured sessions carry these numbers.
SESSION_NUMBERS = range(1, 32)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a captured session. Sender and receiver are roles: client, client2, server, bankd, bankd2."""

    session: str
    index: int
    conn: int
    sender: str
    receiver: str
    t_ms: int
    raw: bytes
    decoded: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.session}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Session:
    """One captured session."""

    name: str
    frames: tuple[Frame, ...]

    def streams(self) -> dict[tuple[int, str], list[Frame]]:
        """The frames of each connection and sender, in order."""
        found: dict[tuple[int, str], list[Frame]] = {}
        for frame in self.frames:
            found.setdefault((frame.conn, frame.sender), []).append(frame)
        return found


@dataclass(frozen=True, slots=True)
class BadFrame:
    """One entry of ``invalid.json``: bytes on the TCP stream, and what the README there demands by ``kind``."""

    name: str
    kind: str
    why: str
    raw: bytes
    #: It comes when the peer has not introduced itself; else after it was accepted.
    is_first: bool


def document(name: str) -> dict[str, Any]:
    """The JSON document ``name`` of the RSPRO vectors."""
    found: dict[str, Any] = json.loads(reference("vectors", "rspro", name).read_text(encoding="utf-8"))
    return found


@cache
def sessions() -> tuple[Session, ...]:
    """All captured sessions, in order of their numbers."""
    paths = sorted(reference("vectors", "rspro").glob("[0-9][0-9]_*.json"))
    return tuple(_session(path.name) for path in paths)


def _session(file_name: str) -> Session:
    name = file_name.removesuffix(".json")
    frames = (
        Frame(name, index, m["conn"], m["from"], m["to"], m["t_ms"], bytes.fromhex(m["hex"]), m["decoded"])
        for index, m in enumerate(document(file_name)["messages"])
    )
    return Session(name, tuple(frames))


@cache
def frames() -> tuple[Frame, ...]:
    """The frames of all sessions."""
    return tuple(frame for session in sessions() for frame in session.frames)


@cache
def bad_frames() -> tuple[BadFrame, ...]:
    """All entries of ``invalid.json``."""
    found = []
    for entry in document("invalid.json")["frames"]:
        parts = entry.get("parts") or [{"hex": entry["hex"], "times": 1}]
        raw = b"".join(bytes.fromhex(part["hex"]) * part["times"] for part in parts)
        is_first = entry["sent_when"].startswith("as the first message")
        found.append(BadFrame(entry["name"], entry["kind"], entry["why"], raw, is_first))
    return tuple(found)
