# SPDX-License-Identifier: Apache-2.0
"""``remsim trace`` without a server: lines, and going on after breaks."""

import io
from collections.abc import Iterator

import httpx2
import pytest

from remsim.cli.trace import TraceWatch
from remsim.cli.trace_output import LineOutput
from remsim.rest import Rest, RestApiError
from remsim.rest.captures import packet_of
from remsim.rest.trace_lines import ends_text, line_of
from remsim.rest.traces import TraceEndModel, TraceEndsModel, TraceModel
from remsim.trace.gsmtap import encode_gsmtap

ENDS = 'event: ends\ndata: {"slot":"B1:3","ends":[{"slot":"B1:3","traces":true}]}\n\n'


def record(number: int, **changes: object) -> TraceModel:
    values: dict[str, object] = {
        "id": f"1-{number}",
        "at": "2026-11-29T20:21:00.824Z",
        "kind": "command",
        "source": "B1:3",
        "origin": "modem",
        "command_id": f"0a1b2c3d4e5f-{number}",
        "command": "00b000000a",
        "response": "98****9000",
        "words": "READ BINARY, 10 bytes [EF.ICCID]",
        "answer": "9000 ok, 10 bytes",
        "card_ms": 13.25,
        "network_ms": 1.8,
    }
    return TraceModel.model_validate(values | changes)


def event(one: TraceModel) -> str:
    return f"id: {one.id}\nevent: record\ndata: {one.model_dump_json(exclude_none=True)}\n\n"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "20:21:00.824     13.2      1.8   READ BINARY, 10 bytes [EF.ICCID]: 9000 ok, 10 bytes"),
        (
            {"command_id": "x-1+2", "card_ms": None, "network_ms": None},
            "20:21:00.824                   * READ BINARY, 10 bytes [EF.ICCID]: 9000 ok, 10 bytes",
        ),
        (
            {"origin": "guess", "network_ms": None, "words": "SELECT \x1b[0m"},
            "20:21:00.824     13.2          g SELECT \\x1b[0m: 9000 ok, 10 bytes",
        ),
        (
            {"answer": None, "response": None, "words": "SELECT MF: the card failed"},
            "20:21:00.824     13.2      1.8   SELECT MF: the card failed: no answer",
        ),
        (
            {"kind": "atr", "origin": None, "words": "ATR, 2 bytes", "response": "3b00", "card_ms": None},
            "20:21:00.824               1.8   ATR, 2 bytes 3b00",
        ),
        ({"kind": "left_out", "left_out": 7}, "20:21:00.824                    (7 records of B1:3 left out: too many)"),
    ],
)
def test_line_of_a_record(changes: dict[str, object], expected: str) -> None:
    assert line_of(record(1, **changes)) == expected


@pytest.mark.parametrize(("origin", "mark"), [("guess", 0x47), ("restore", 0x52), ("inventory", 0x49)])
def test_capture_has_what_the_modem_saw_unless_more_is_asked_for(origin: str, mark: int) -> None:
    assert packet_of(record(1, origin=origin)) is None
    packet = packet_of(record(1, origin=origin), has_guesses=True)
    assert packet is not None
    assert encode_gsmtap(packet.record)[13] == mark
    for has_guesses in (False, True):
        packet = packet_of(record(1), has_guesses=has_guesses)
        assert packet is not None
        assert encode_gsmtap(packet.record)[13] == 0


def test_comment_of_a_packet_says_why_a_command_was_refused() -> None:
    told = packet_of(record(1))
    refused = packet_of(record(1, response="6a83", answer="6A83 record not found"))
    assert told is not None
    assert refused is not None
    assert "refused" not in told.comment
    words = "READ BINARY, 10 bytes [EF.ICCID], refused: 6A83 record not found, card 13.25 ms"
    assert words in refused.comment


def test_lines_are_plain_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    lines = LineOutput(out, shows_bytes=True)
    lines.heading("B1:3")
    lines.record(record(1, words="x" * 200))
    _, first, command, answer = out.getvalue().splitlines()
    assert "\033" not in out.getvalue()
    assert len(first) > 200
    assert (command.strip(), answer.strip()) == ("> 00b000000a", "< 98****9000")


def test_lines_fit_into_a_terminal_and_colours_show_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    lines = LineOutput(out, shows_bytes=False)
    lines.record(record(1, words="x" * 200))
    lines.record(record(2, answer="6A82 file not found"))
    good, bad = out.getvalue().splitlines()
    assert (len(good), good.endswith("...")) == (80, True)
    assert bad.startswith("\033[31m")


def test_who_does_not_tell_is_named() -> None:
    ends = [TraceEndModel(slot="B1:3", traces=False, problem="bank 1 is not connected")]
    assert ends_text(TraceEndsModel(slot="B1:3", ends=ends)) == ("nobody traces B1:3 now; bank 1 is not connected")


class Taken:
    """An output."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.headings = 0

    def heading(self, slot: str) -> None:
        self.headings += 1

    def record(self, record: TraceModel) -> None:
        self.ids.append(record.id)

    def close(self) -> None:
        return


def watch(answers: list[httpx2.Response | Exception], most: int) -> tuple[Taken, list[str | None], list[float]]:
    """Run a trace against these answers; what it took, the ids that it asked for, and how long it waited."""
    asked: list[str | None] = []
    waited: list[float] = []
    pending: Iterator[httpx2.Response | Exception] = iter(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers.get("last-event-id"))
        found = next(pending)
        if isinstance(found, Exception):
            raise found
        return found

    taken = Taken()
    with Rest("http://server", transport=httpx2.MockTransport(answer)) as rest:
        TraceWatch(rest, "B1:3", [taken], most=most, sleep=waited.append, now=lambda: sum(waited)).run()
    return taken, asked, waited


def stream(*parts: str) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text="".join(parts))


def test_trace_goes_on_behind_its_last_record(capsys: pytest.CaptureFixture[str]) -> None:
    taken, asked, waited = watch(
        [
            stream(ENDS, event(record(1)), event(record(2))),
            httpx2.ConnectError("refused"),
            httpx2.ConnectError("refused"),
            stream(ENDS, event(record(3))),
            stream('event: missed\ndata: {"records":4}\n\n', ENDS, event(record(8))),
            stream("event: missed\ndata: {}\n\n", ENDS, event(record(1))),
        ],
        most=5,
    )
    assert (taken.ids, taken.headings) == (["1-1", "1-2", "1-3", "1-8", "1-1"], 1)
    assert asked == [None, "1-2", "1-2", "1-2", "1-3", "1-8"]
    assert waited == [1.0, 2.0, 4.0, 1.0, 1.0]
    assert capsys.readouterr().err.splitlines() == [
        "remsim trace: tracing B1:3",
        "remsim trace: the server has ended the trace; trying again",
        "remsim trace: the server is back after 7 s; nothing was missed",
        "remsim trace: the server has ended the trace; trying again",
        "remsim trace: the server is back after 1 s",
        "remsim trace: 4 records were missed",
        "remsim trace: the server has ended the trace; trying again",
        "remsim trace: the server is back after 1 s",
        "remsim trace: records were missed, nobody knows how many",
    ]


def test_what_does_not_mend_by_itself_ends_it() -> None:
    with pytest.raises(RestApiError):
        watch([httpx2.ConnectError("refused")], most=1)
    problem = {"detail": "no valid token", "hint": "make one", "code": "unauthorized"}
    with pytest.raises(RestApiError, match="no valid token"):
        watch([stream(ENDS, event(record(1))), httpx2.Response(401, json=problem)], most=5)
