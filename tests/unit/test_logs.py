# SPDX-License-Identifier: Apache-2.0
"""Lines of the log: their form, what they hold back, and that nobody can forge one."""

import io
import json
import logging
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from remsim import logs
from remsim.core.errors import ConfigError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.text import escape
from remsim.logs import MAX_FIELD_CHARACTERS, Logger, get_logger, reset_logging, setup_logging

PIN = b"\xff1234567"


@dataclass
class Command:
    """Something whose repr shows its bytes."""

    data: bytes


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    """A stream whose reader has left."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def bound() -> Logger:
    return get_logger("bankd").bind(bank_slot=BankSlot(1, 3), client_slot=ClientSlot(7, 0))


def test_line_has_time_level_component_event_context_and_fields(stream: io.StringIO) -> None:
    setup_logging(level="info", log_format="text", stream=stream)
    bound().info("session_started", peer="192.0.2.7:1", count=3, share=0.123456789, ready=True, gone=None)
    line = stream.getvalue()
    assert line[:24].endswith("Z")
    assert line[24:] == (
        " info    bankd session_started [B1:3 C7:0] peer=192.0.2.7:1 count=3 share=0.123457 ready=yes gone=None\n"
    )


def test_line_without_slots_has_no_brackets(stream: io.StringIO) -> None:
    setup_logging(level="info", log_format="text", stream=stream)
    get_logger("server").bind(bank_slot=None).warning("late", addresses=["a", "b"], table={"a": 1})
    assert stream.getvalue()[24:] == ' warning server late addresses=a,b table="{\\"a\\": 1}"\n'


def test_logger_made_before_the_set_up_follows_it(stream: io.StringIO) -> None:
    setup_logging(level="error", log_format="text", stream=io.StringIO())
    log = bound()
    setup_logging(level="debug", log_format="text", stream=stream)
    log.debug("connected")
    assert "connected [B1:3 C7:0]" in stream.getvalue()


def test_fields_are_bound_to_the_new_logger_only(stream: io.StringIO) -> None:
    setup_logging(level="info", log_format="text", stream=stream)
    log = get_logger("client")
    log.bind(client_slot=ClientSlot(1, 2)).bind(count=1).info("connected", count=2)
    log.info("left")
    first, second = stream.getvalue().splitlines()
    assert first.endswith("client connected [C1:2] count=2")
    assert second.endswith("client left")


def test_event_below_the_level_is_not_logged(stream: io.StringIO) -> None:
    setup_logging(level="warning", log_format="text", stream=stream)
    bound().info("quiet")
    assert not stream.getvalue()


def test_peer_cannot_forge_lines_or_colours(stream: io.StringIO) -> None:
    setup_logging(level="info", log_format="text", stream=stream)
    get_logger("server").info("connected\n", name='evil\n2026 error \x1b[31m \u202e \udc80 "x" \\', plain="a=b")
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith(
        'connected\\n name="evil\\n2026 error \\x1b[31m \\u202e \\udc80 \\"x\\" \\\\" plain="a=b"\n'
    )


def test_long_text_is_cut(stream: io.StringIO) -> None:
    setup_logging(level="info", log_format="text", stream=stream)
    get_logger("server").info("connected", name="x" * 10_000)
    assert len(stream.getvalue()) < MAX_FIELD_CHARACTERS + 100


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_bytes_are_shown_at_no_level(stream: io.StringIO, log_format: str, level: str) -> None:
    setup_logging(level="debug", log_format="json" if log_format == "json" else "text", stream=stream)
    say = getattr(bound(), level)
    say("tpdu", data=PIN, inner=[PIN, {"x": bytearray(PIN)}], view=memoryview(PIN), message=Command(PIN))
    say("tpdu", error=ValueError(f"cannot send {PIN!r}"), reason=f"cannot send {PIN!r}", cause=ValueError(PIN.hex()))
    try:
        raise ValueError(f"cannot send {PIN!r}")
    except ValueError as error:
        say("failed", exc_info=error)
    text = stream.getvalue()
    assert PIN.hex() not in text
    assert "1234" not in text
    assert text.count("8 bytes") == 4


def test_atr_and_header_are_shown(stream: io.StringIO) -> None:
    setup_logging(level="info", log_format="text", stream=stream)
    bound().info("card", atr=b"\x3b\x00", header=bytearray(5))
    bound().info("card", atr=bytes(56), header=bytes(6))
    assert "atr=3b00 header=0000000000" in stream.getvalue()
    assert "atr=<56 bytes> header=<6 bytes>" in stream.getvalue().replace('"', "")


def test_json_line_has_the_same_fields(stream: io.StringIO) -> None:
    setup_logging(level="info", log_format="json", stream=stream)
    bound().error("failed", error=ConfigError("bad\nline"), cause=ValueError(), seen={1})
    record = json.loads(stream.getvalue())
    assert list(record)[:6] == ["timestamp", "level", "component", "event", "bank_slot", "client_slot"]
    assert record["bank_slot"] == "B1:3"
    assert (record["error"], record["cause"], record["seen"]) == ("ConfigError: bad\nline", "ValueError", [1])
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_traceback_stays_on_the_line(stream: io.StringIO, log_format: str) -> None:
    setup_logging(level="info", log_format="json" if log_format == "json" else "text", stream=stream)
    error = ValueError("reason")
    bound().error("task_crashed", exc_info=error)
    try:
        raise error
    except ValueError:
        bound().error("task_crashed", exc_info=True)
    assert stream.getvalue().count("ValueError: reason") == 2
    assert stream.getvalue().count("\n") == 2


def test_traceback_has_lines_of_its_own_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    setup_logging(level="info", log_format="text", stream=terminal)
    bound().error("task_crashed", exc_info=ValueError("\x1b[31m"))
    assert "\nValueError: \\x1b[31m\n" in terminal.getvalue()
    assert "\x1b[1;31merror" in terminal.getvalue()


def test_colours_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    setup_logging(level="info", log_format="text", stream=terminal)
    bound().info("plain")
    assert "\x1b" not in terminal.getvalue()


def test_libraries_log_in_the_same_form(stream: io.StringIO) -> None:
    setup_logging(level="info", log_format="text", stream=stream)
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("heed %s", "this")
    logging.getLogger("library").warning("callback %r", b"1234")
    try:
        raise ValueError("reason")
    except ValueError:
        logging.getLogger("library").exception("failed")
    lines = stream.getvalue().splitlines()
    assert lines[0][24:] == " warning library heed this"
    assert lines[1].endswith("callback <bytes>")
    assert "ValueError: reason" in lines[2]
    assert len(lines) == 3


def test_log_that_cannot_be_written_ends_nothing() -> None:
    setup_logging(level="info", log_format="text", stream=Closed())
    bound().info("unheard")


def test_logger_works_without_setup(capsys: pytest.CaptureFixture[str]) -> None:
    reset_logging()
    get_logger("client").info("connected")
    assert "client connected" in capsys.readouterr().err


def test_printable_text_is_left_alone() -> None:
    assert escape("übung ✓") == "übung ✓"


def test_tokens_and_numbers_of_subscribers_are_never_whole(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging(level="debug", log_format="text")
    secret = "a" * 52
    get_logger("test").info(
        "event",
        text=f"Bearer remsim_0123456789ab_{secret}",
        texts=[{"x": f"remsim_0123456789ab_{secret}"}],
        imsi="001010000000019",
        iccid="8" * 19,
    )
    line = capsys.readouterr().err
    assert secret not in line
    assert "remsim_0123456789ab_…" in line
    assert "imsi=00101…19" in line
    assert "iccid=888888…8888" in line


def test_traceback_that_comes_again_and_again_is_held_back_and_counted(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_TRACEBACKS", logs._Tracebacks())
    setup_logging(level="info", log_format="text", stream=stream)
    for _ in range(logs.TRACEBACKS_AT_ONCE + 90):
        get_logger("server").error("internal_error", exc_info=OSError(24, "Too many open files"))
    logging.getLogger("asyncio").error("other", exc_info=OSError(24, "Too many open files"))
    lines = stream.getvalue().splitlines()
    assert len(lines) == logs.TRACEBACKS_AT_ONCE + 1
    later = time.monotonic() + 2 * logs.TRACEBACK_INTERVAL_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    get_logger("server").error("internal_error", exc_info=OSError(24, "Too many open files"))
    assert " unsaid=90 " in stream.getvalue().splitlines()[-1]


def test_no_codec_is_looked_for_while_a_line_is_written() -> None:
    """It may be the line that says that there are no descriptors."""
    code = (
        "import sys, io\n"
        "from remsim.logs import escape\n"
        "before = set(sys.modules)\n"
        "escape('a\\nb')\n"
        "assert set(sys.modules) == before, set(sys.modules) - before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
