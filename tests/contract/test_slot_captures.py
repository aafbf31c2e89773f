# SPDX-License-Identifier: Apache-2.0
"""Captures of all slots of a program: what is in which file, what is masked, and what a bad disk does."""

import errno
import os
from pathlib import Path

import pytest

from remsim.captures import Rolling, SlotCaptures, of_slots
from remsim.trace.gsmtap import TpduMark, TpduRecord
from remsim.trace.outlet import DoneCommand
from remsim.trace.packets import gsmtap_in, read_packets
from remsim.trace.pcapng import CapturePacket
from remsim.trace.tap import CommandId
from tests.doubles.noted_log import NotedLog

OK = bytes.fromhex("9000")
SELECT_IMSI = bytes.fromhex("00a40004026f07")
READ = bytes.fromhex("00b0000009")
IMSI = bytes.fromhex("080910101032547698")
USIM = bytes.fromhex("00a4040c07a0000000871002")


def payloads(file: Path) -> list[bytes]:
    """What the packets of a file carry behind GSMTAP's header."""
    with file.open("rb") as stream:
        found = [gsmtap_in(packet) for packet in read_packets(stream)]
    return [datagram.payload[16:] for datagram in found if datagram is not None]


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def captures(folder: Path, *, has_guesses: bool = False) -> SlotCaptures:
    return SlotCaptures(folder, Rolling(), log=NotedLog().logger, has_guesses=has_guesses)


def test_each_slot_has_its_file_and_secrets_are_masked(tmp_path: Path) -> None:
    kept = captures(tmp_path / "in")
    for slot in ("B1:0", "B1:1"):
        kept.on_reset(slot)
        kept.on_atr(slot, bytes.fromhex("3b00"))
        kept.on_command(DoneCommand(slot, USIM, OK))
        kept.on_command(
            DoneCommand(slot, SELECT_IMSI, OK, other="C7:0", command_id=CommandId(b"sessio", 5), spent_s=0.5)
        )
    kept.on_command(DoneCommand("B1:0", READ, IMSI + OK))
    kept.on_command(DoneCommand("B1:1", READ, bytes.fromhex("6986")))
    kept.stop()
    first, second = sorted((tmp_path / "in").iterdir())
    assert (first.name[:5], second.name[:5]) == ("B1-0_", "B1-1_")
    assert payloads(first)[-1] == READ + bytes.fromhex("08091010ffffffff98") + OK
    refused = READ + bytes.fromhex("6986")
    assert payloads(second) == [bytes.fromhex("3b00"), USIM + OK, SELECT_IMSI + OK, refused]
    assert b"B1:1, modem, refused: 6986 " in second.read_bytes()
    assert b"B1:1 C7:0, modem, card 500 ms, 73657373696f-5" in second.read_bytes()
    assert (kept.written, kept.lost) == (8, 0)


def test_after_a_card_that_is_not_known_files_are_hidden_until_selected(tmp_path: Path) -> None:
    kept = captures(tmp_path)
    kept.on_command(DoneCommand("B1:0", USIM, OK))
    kept.on_command(DoneCommand("B1:0", SELECT_IMSI, None))
    kept.on_command(DoneCommand("B1:0", READ, IMSI + OK))
    kept.on_unknown_card("B1:0")
    kept.on_command(DoneCommand("B1:0", READ, IMSI + OK))
    kept.stop()
    (file,) = tmp_path.iterdir()
    assert payloads(file)[1:] == 2 * [READ + 9 * b"\xff" + OK]


@pytest.mark.parametrize("has_guesses", [False, True])
def test_commands_that_no_modem_has_sent_are_there_if_asked_for(tmp_path: Path, *, has_guesses: bool) -> None:
    kept = captures(tmp_path, has_guesses=has_guesses)
    kept.on_command(DoneCommand("B1:0", USIM, OK))
    kept.on_command(DoneCommand("B1:0", SELECT_IMSI, OK, mark=TpduMark.GUESS))
    kept.stop()
    (file,) = tmp_path.iterdir()
    assert len(payloads(file)) == 1 + has_guesses


def test_more_slots_than_open_files_go_on_in_their_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_slots, "MAX_OPEN", 2)
    kept = captures(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        for number in range(5):
            kept.on_command(DoneCommand(f"B1:{number}", USIM, OK))
    kept.stop()
    files = sorted(tmp_path.iterdir())
    assert [len(payloads(file)) for file in files] == [3] * 5
    assert len(list(Path("/proc/self/fd").iterdir())) == before


class FullDisk:
    """Takes so many bytes more, then says that it is full; may take a part of what it is given."""

    def __init__(self) -> None:
        self.room = 1 << 30
        self._write = os.write

    def write(self, file: int, raw: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = self._write(file, raw[: self.room])
        self.room -= done
        return done


async def test_full_disk_is_said_once_counted_and_leaves_whole_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, log, times = FullDisk(), NotedLog(), Clock()
    monkeypatch.setattr("remsim.captures.rolling.os.write", disk.write)
    kept = SlotCaptures(tmp_path, Rolling(), log=log.logger, monotonic=times)
    write = kept._write

    def pass_on(count: int) -> None:
        """Without the thread, so that the test says what comes when."""
        write([("B1:0", packet) for packet in packets[:count]])

    packets = made_packets()
    pass_on(3)
    disk.room = 30
    pass_on(3)
    said = await log.next("captures_stopped")
    assert (said["level"], said["reason"], said["folder"]) == ("warning", "No space left on device", str(tmp_path))
    disk.room = 1 << 30
    # Too soon.
    pass_on(1)
    assert (kept.written, kept.lost) == (3, 4)
    times.now += of_slots.RETRY_S
    disk.room = 0
    pass_on(1)
    times.now += of_slots.RETRY_S
    disk.room = 1 << 30
    pass_on(2)
    assert (await log.next("captures_resumed"))["lost"] == 5
    kept.stop()
    assert log.is_empty()
    (file,) = files_in(tmp_path)
    assert len(payloads(file)) == kept.written == 5


def test_file_of_which_not_even_the_beginning_fits_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk()
    disk.room = 20
    monkeypatch.setattr("remsim.captures.rolling.os.write", disk.write)
    kept = captures(tmp_path)
    kept.on_command(DoneCommand("B1:0", USIM, OK))
    kept.stop()
    assert kept.lost == 1
    assert not list(tmp_path.iterdir())


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made_packets() -> list[CapturePacket]:
    return [CapturePacket(float(number), TpduRecord(0, USIM, OK), "x") for number in range(5)]
