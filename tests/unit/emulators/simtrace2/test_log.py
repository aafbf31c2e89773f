# SPDX-License-Identifier: Apache-2.0
"""What of a device's bytes is told: headers of commands and ATRs, of everything else how many there were."""

import pytest

from remsim.emulators.simtrace2.actions import Fact, FactKind
from remsim.emulators.simtrace2.log import MAX_UNKNOWN_TOLD, MAX_WARNINGS, SlotLog, UnknownCommands
from tests.doubles.noted_log import NotedLog

HEADER, PIN = bytes.fromhex("0020000108"), b"12345678"


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (FactKind.COMMAND_REPLACED, HEADER, {"header": HEADER}),
        (FactKind.COMMAND_REPLACED, PIN, {"bytes": 8}),
        (FactKind.BAD_HEADER, HEADER[:4], {"bytes": 4}),
        (FactKind.BAD_MESSAGE, PIN, {"bytes": 8}),
        (FactKind.ATR_REFUSED, b"\x3b" * 40, {"atr": b"\x3b" * 40}),
        (FactKind.STALE_DROPPED, b"", {}),
    ],
)
async def test_bytes_are_told_where_they_cannot_be_secret(
    kind: FactKind, data: bytes, expected: dict[str, object]
) -> None:
    log = NotedLog()
    SlotLog(log.logger).tell(Fact(kind, "why", data))
    said = await log.next(kind.value)
    assert {key: said[key] for key in said if key not in ("event", "level")} == {"detail": "why", **expected}


async def test_same_trouble_is_a_warning_a_few_times_only() -> None:
    log = NotedLog()
    slot_log = SlotLog(log.logger)
    for _ in range(MAX_WARNINGS + 1):
        slot_log.tell(Fact(FactKind.BAD_MESSAGE))
    levels = [(await log.next(FactKind.BAD_MESSAGE.value))["level"] for _ in range(MAX_WARNINGS + 1)]
    assert levels == ["warning"] * MAX_WARNINGS + ["debug"]


def test_modem_that_tries_numbers_does_not_fill_the_log() -> None:
    unknown = UnknownCommands()
    headers = [bytes((0x80, ins, p1, 0, 2)) for ins in range(200) for p1 in range(3)]
    told = [header for header in headers if unknown.is_new(header)]
    assert told == [bytes((0x80, ins, 0, 0, 2)) for ins in range(MAX_UNKNOWN_TOLD)]
    assert unknown.is_full


async def test_unknown_commands_are_warnings_with_a_setting_and_then_details() -> None:
    log = NotedLog()
    unknown = UnknownCommands()
    for slot_log in (SlotLog(log.logger, unknown), SlotLog(log.logger, unknown)):
        slot_log.tell(Fact(FactKind.UNKNOWN_COMMAND, data=bytes.fromhex("90e1000004")))
    said = [await log.next(FactKind.UNKNOWN_COMMAND.value) for _ in range(2)]
    assert [line["level"] for line in said] == ["warning", "debug"]
    assert said[0]["add"] == 'command_cases = ["90 E1 = 3"]'


async def test_last_unknown_command_that_is_told_says_that_it_is_the_last() -> None:
    log = NotedLog()
    slot_log = SlotLog(log.logger)
    for ins in range(MAX_UNKNOWN_TOLD + 1):
        slot_log.tell(Fact(FactKind.UNKNOWN_RECEIVED, data=bytes((0xB0, ins, 0, 0, 1))))
    said = [await log.next(FactKind.UNKNOWN_RECEIVED.value) for _ in range(MAX_UNKNOWN_TOLD)]
    assert {line["level"] for line in said} == {"warning"}
    assert (await log.next("further_unknown_commands_only_counted"))["metric"] == "unknown_commands"
    assert (await log.next(FactKind.UNKNOWN_RECEIVED.value))["level"] == "debug"
