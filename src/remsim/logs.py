# SPDX-License-Identifier: Apache-2.0
"""Logging: one line per event on stderr, every line with its bank slot and client slot.

::

    2026-11-23T17:00:00.123Z info    bankd  session_started [B1:3 C7:0] peer=192.0.2.7:40112

An event has a fixed name in snake_case and fields; texts that came from a peer go into fields, where control
characters are escaped, so that nobody can forge a line. Bytes are never shown, at no level, only how many they are: a
TPDU may hold a PIN or a key. The two exceptions are an ATR and a command's header, in fields of these names. Code
that has bytes worth showing asks ``remsim.redaction``; the ``_redact`` step here is the net below, and callers need not
care.

Knows nothing of the programs. ``setup_logging`` is called once per process; a library user who does not call it gets
text lines from level info.
"""

import codecs
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from remsim.core.episode import OncePerEpisode
from remsim.core.rate_limit import TokenBuckets
from remsim.core.text import escape
from remsim.redaction import mask_literals, mask_tokens, scrub, shorten_iccid, shorten_imsi

if TYPE_CHECKING:
    from remsim.config import LogFormat, LogLevel

#: The fields of one line, before and after they are made presentable.
Event = dict[str, object]

#: So many lines with a traceback, of one event and kind of error, are written at once, ...
TRACEBACKS_AT_ONCE: Final = 10
#: ... and one more after each of these times.
TRACEBACK_INTERVAL_S: Final = 60.0
_MAX_KINDS: Final = 1024

#: A longer text in a field is cut: a peer may send names of any length.
MAX_FIELD_CHARACTERS: Final = 400

#: Fields that stand in brackets behind the event, in this order.
_CONTEXT: Final = ("bank_slot", "client_slot")
_LEVELS: Final[dict["LogLevel", int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "1;31", "critical": "1;31"}
#: Fields that are shown in part, in every line.
_SHORTENED: Final[dict[str, Callable[[str], str]]] = {"imsi": shorten_imsi, "iccid": shorten_iccid}
#: Fields whose bytes are shown, and how many: an ATR has up to 55 in RSPRO, a command's header has five.
_SHOWN_BYTES: Final = {"atr": 55, "header": 5}
# Python looks for a codec's module when it is first used. That may be a moment without a descriptor left to open it.
codecs.lookup("unicode_escape")
_NEVER_SHOWN_AS_FIELD: Final = frozenset({"timestamp", "level", "component", "event", "exception", *_CONTEXT})


class Output(Protocol):
    """Where events go."""

    #: Events below this one are dropped before anything is made of them.
    level: int

    def emit(self, method: str, event: Event) -> None:
        """Write one event; ``method`` is the name of its level."""
        ...


class Logger:
    """What services hold: each of its lines carries the fields that were bound.

    It reads the set-up at each call, unless it has an ``output`` of its own. Below the level a call costs next to
    nothing.
    """

    __slots__ = ("_fields", "_output")

    def __init__(self, fields: Mapping[str, object], output: Output | None = None) -> None:
        self._fields = dict(fields)
        self._output = output

    def bind(self, **fields: object) -> "Logger":
        """Return a logger that carries these fields, too."""
        return Logger({**self._fields, **fields}, self._output)

    def debug(self, event: str, **fields: object) -> None:
        """Log what a developer wants to see."""
        self._log("debug", logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Log what an operator wants to see."""
        self._log("info", logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log what an operator should look at."""
        self._log("warning", logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Log what does not work."""
        self._log("error", logging.ERROR, event, fields)

    def _log(self, method: str, level: int, event: str, fields: Event) -> None:
        output = self._output or _SetUp.output or setup_logging(level="info", log_format="text")
        if output.level <= level:
            output.emit(method, {**self._fields, **fields, "event": event})


class _SetUp:
    """What this process has set up."""

    output: Output | None = None


def get_logger(component: str) -> Logger:
    """Return a logger whose lines carry ``component``, for instance "bankd"."""
    if _SetUp.output is None:
        setup_logging(level="info", log_format="text")
    return Logger({"component": component})


def ensure_logging() -> None:
    """Unless logging is set up: show only what is worth a warning, and leave the standard module to the program.

    For a program that uses this package as a library.
    """
    if _SetUp.output is None:
        _SetUp.output = _Lines("warning", "text", None)


def setup_logging(*, level: "LogLevel", log_format: "LogFormat", stream: TextIO | None = None) -> Output:
    """Send all events from ``level`` on, those of libraries included, to ``stream`` (default: stderr).

    ``log_format`` "text" is coloured if the stream is a terminal and NO_COLOR is not set; "json" is one object a line.
    """
    output = _SetUp.output = _Lines(level, log_format, stream)
    # Libraries log through the standard module. Their ordinary chatter is not the operator's business.
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(_LibraryHandler(output))
    root.setLevel(logging.INFO if level == "debug" else max(logging.WARNING, _LEVELS[level]))
    return output


def reset_logging() -> None:
    """Forget what was set up, as if the process were new."""
    _SetUp.output = None


class _Lines:
    """Makes a line of each event and writes it. A log that cannot be written must never end a session."""

    def __init__(self, level: "LogLevel", log_format: "LogFormat", stream: TextIO | None) -> None:
        target = stream if stream is not None else sys.stderr
        colours = log_format == "text" and target.isatty() and not os.environ.get("NO_COLOR")
        self.level = _LEVELS[level]
        self._render = _render_json if log_format == "json" else _TextRenderer(colours=colours)
        self._stream = stream

    def emit(self, method: str, event: Event) -> None:
        event["level"] = method
        event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if not _format_exception(event):
            return
        _redact(event)
        line = self._render(event)
        # Without a stream of its own it follows sys.stderr, which may be replaced after set-up.
        stream = self._stream if self._stream is not None else sys.stderr
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            return


class _LibraryHandler(logging.Handler):
    """Brings records of the standard logging module into the same form."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        text = scrub(record.getMessage())
        event: Event = {"component": record.name, "event": text, "exc_info": record.exc_info}
        self._output.emit(record.levelname.lower(), event)


def _format_exception(event: Event) -> bool:
    """Put an exception's traceback into the event. False: too many of its kind were written, so this one is not."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exception() if given is True else None
    if isinstance(given, tuple):
        error = given[1]
    if error is not None:
        unsaid = _TRACEBACKS.unsaid((event.get("component"), event.get("event"), type(error)), time.monotonic())
        if unsaid is None:
            return False
        if unsaid:
            event["unsaid"] = unsaid
        event["exception"] = scrub("".join(traceback.format_exception(error)).rstrip())
    return True


class _Tracebacks:
    """A fault that others can cause again and again must not fill the disk: a traceback has thousands of characters."""

    def __init__(self) -> None:
        self._bucket = TokenBuckets(burst=TRACEBACKS_AT_ONCE, interval_s=TRACEBACK_INTERVAL_S, most_keys=_MAX_KINDS)
        self._held_back = OncePerEpisode[Hashable](most_keys=_MAX_KINDS)

    def unsaid(self, kind: Hashable, now: float) -> int | None:
        """How many of this kind were held back before this one, which may be written; None: it may not."""
        if self._bucket.take(kind, now):
            repeats = self._held_back.ends(kind)
            return 0 if repeats is None else repeats + 1
        self._held_back.begins(kind)
        return None


_TRACEBACKS: Final = _Tracebacks()


def presentable(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields of an event as a log shows them, for others who show events."""
    shown = dict(fields)
    _redact(shown)
    return shown


def _redact(event: Event) -> None:
    """Turn every value into what may be shown. The net below all that is logged."""
    for key, value in event.items():
        if key in _SHORTENED and isinstance(value, str):
            event[key] = _SHORTENED[key](value)
        elif key in _SHOWN_BYTES and isinstance(value, bytes | bytearray) and len(value) <= _SHOWN_BYTES[key]:
            event[key] = value.hex()
        else:
            event[key] = _presentable(value)


def _presentable(value: object) -> object:
    """Return ``value`` as text, number, list or dictionary of such; of bytes only how many they are."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return mask_literals(mask_tokens(value))
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case list() | tuple() | set() | frozenset():
            return [_presentable(item) for item in value]
        case dict():
            return {str(key): _presentable(item) for key, item in value.items()}
        case BaseException():
            text = scrub(str(value))
            return f"{type(value).__name__}: {text}" if text else type(value).__name__
        case _:
            return mask_literals(mask_tokens(str(value)))


def _render_json(event: Event) -> str:
    first = {key: event[key] for key in ("timestamp", "level", "component", "event", *_CONTEXT) if key in event}
    return json.dumps({**first, **event}, default=str)


class _TextRenderer:
    """The line for people; with ``colours`` for a terminal, where a traceback may take several lines."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, event: Event) -> str:
        level = str(event["level"])
        parts = [
            self._paint(str(event["timestamp"]), "2"),
            self._paint(f"{level:<7}", _COLOURS.get(level, "0")),
            escape(str(event.get("component", "remsim"))),
            self._paint(escape(str(event.get("event", ""))), "1"),
        ]
        context = [str(event[key]) for key in _CONTEXT if event.get(key) is not None]
        if context:
            parts.append(self._paint(escape(f"[{' '.join(context)}]"), "36"))
        parts += [f"{escape(key)}={_field(value)}" for key, value in event.items() if key not in _NEVER_SHOWN_AS_FIELD]
        exception = event.get("exception")
        if exception is not None and self._colours:
            return " ".join(parts) + "\n" + "\n".join(escape(line) for line in str(exception).splitlines())
        if exception is not None:
            parts.append(f"exception={_quoted(str(exception))}")
        return " ".join(parts)

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


def _field(value: object) -> str:
    if isinstance(value, list):
        value = ",".join(str(item) for item in value)
    if isinstance(value, Mapping):
        value = json.dumps(value, default=str)
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if len(text) > MAX_FIELD_CHARACTERS:
        text = f"{text[:MAX_FIELD_CHARACTERS]}…"
    return text if text and text.isprintable() and not any(mark in text for mark in ' "=\\') else _quoted(text)


def _quoted(text: str) -> str:
    return '"' + escape(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
