# SPDX-License-Identifier: Apache-2.0
"""Captures that roll, in a real folder: sizes, ages, what is kept, and what is none of theirs."""

import os
from pathlib import Path

import pytest

from remsim.captures import Rolling, RollingCapture
from remsim.trace.gsmtap import TpduRecord
from remsim.trace.pcapng import CapturePacket, file_header, packet_block

PACKET = CapturePacket(1.0, TpduRecord(3, bytes(5), bytes.fromhex("9000")), "comment")
HEADER, SIZE = len(file_header("B1:3")), len(packet_block(PACKET))


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def test_new_file_begins_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    clock = Clock()
    capture = RollingCapture(tmp_path / "in", "B1:3", Rolling(max_bytes=HEADER + 2 * SIZE, keep=2), now=clock)
    for _ in range(7):
        capture.write(PACKET)
        clock.now += 1
    capture.close()
    files = capture.files()
    assert [path.name for path in files] == [
        "B1-3_20231114T221324_0003.pcapng",
        "B1-3_20231114T221326_0004.pcapng",
    ]
    assert [path.stat().st_size for path in files] == [HEADER + 2 * SIZE, HEADER + SIZE]
    assert files[0].read_bytes() == file_header("B1:3") + 2 * packet_block(PACKET)
    assert (tmp_path / "in").stat().st_mode & 0o777 == 0o700
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_new_file_begins_by_age_and_old_ones_go(tmp_path: Path) -> None:
    clock = Clock()
    capture = RollingCapture(tmp_path, "C7:0", Rolling(max_age_s=60, keep_s=100), now=clock)
    for _ in range(4):
        capture.write(PACKET)
        os.utime(capture.files()[-1], (clock.now, clock.now))
        clock.now += 61
    capture.close()
    assert [path.name[-11:-7] for path in capture.files()] == ["0003", "0004"]


def test_clock_that_is_set_back_ends_a_file_whose_age_is_not_known(tmp_path: Path) -> None:
    clock = Clock()
    capture = RollingCapture(tmp_path, "C7:0", Rolling(max_age_s=60), now=clock)
    for step in (0, 59, -3600, 59, 1):
        clock.now += step
        capture.write(PACKET)
    capture.close()
    assert [path.stat().st_size for path in capture.files()] == [HEADER + 2 * SIZE, HEADER + 2 * SIZE, HEADER + SIZE]


def test_numbers_go_on_after_a_restart_and_other_files_stay(tmp_path: Path) -> None:
    others = ["B1-30_20231114T221324_0001.pcapng", "B1-3_x_0001.pcapng", "notes.txt", "B1-3_20231114T221324_1.pcapng"]
    for name in others:
        (tmp_path / name).write_text("x")
    runs = [RollingCapture(tmp_path, "B1:3", Rolling(keep=1)) for _ in range(3)]
    for capture in runs:
        capture.write(PACKET)
        capture.close()
        capture.close()
    assert [path.name[-11:-7] for path in runs[0].files()] == ["0003"]
    assert all((tmp_path / name).exists() for name in others)


def test_file_has_its_name_only_once_its_head_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As a program leaves it that was killed before it wrote anything.
    (tmp_path / ".B1-3.part").write_bytes(b"an older head")
    seen: list[list[str]] = []
    write = os.write

    def watched(file: int, data: bytes) -> int:
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        return write(file, data)

    monkeypatch.setattr(os, "write", watched)
    capture = RollingCapture(tmp_path, "B1:3", Rolling())
    capture.write(PACKET)
    capture.close()
    (path,) = capture.files()
    assert seen == [[".B1-3.part"], [path.name]]
    assert path.stat().st_size == HEADER + SIZE
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_folder_that_cannot_be_used_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file"):
        RollingCapture(tmp_path / "file", "B1:3", Rolling()).write(PACKET)
