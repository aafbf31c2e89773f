# SPDX-License-Identifier: Apache-2.0
"""Server-sent events, as the HTML standard (section 9.2.6) has them: lines in, events out. Without I/O; bounded."""

from typing import Final

from remsim.core.values import dataclass
from remsim.rest.errors import RestApiError

#: An event of the server has 4 KiB at most.
MAX_EVENT: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its id, its kind, and its data."""

    id: str
    kind: str
    data: str


class LineReader:
    """Cuts a stream into lines, which end with LF or CR LF: our server's do."""

    def __init__(self) -> None:
        self._rest = b""

    def on_bytes(self, piece: bytes) -> list[str]:
        """Bytes came; returns the lines that are complete now. Raises RestApiError if one is too long."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > MAX_EVENT:
            raise _too_long()
        return [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines]


class EventReader:
    """Reads one stream."""

    def __init__(self) -> None:
        self._id = ""
        self._kind = ""
        self._data: list[str] = []
        self._size = 0

    def on_line(self, line: str) -> ServerSentEvent | None:
        """A line came, without its end; returns the event that it completes. Raises RestApiError if it is too long."""
        if not line:
            return self._finish()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        self._size += len(value)
        if self._size > MAX_EVENT:
            raise _too_long()
        match name:
            case "id" if "\0" not in value:
                self._id = value
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
        return None

    def _finish(self) -> ServerSentEvent | None:
        kind, data = self._kind, self._data
        self._kind, self._data, self._size = "", [], 0
        return ServerSentEvent(self._id, kind or "message", "\n".join(data)) if data else None


def _too_long() -> RestApiError:
    return RestApiError("the server sends an event that is too long", hint="is this a server's REST port?")
