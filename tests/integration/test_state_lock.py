# SPDX-License-Identifier: Apache-2.0
"""One program at a time for a state directory, between processes and within one."""

import os
import signal
from pathlib import Path

import pytest

from remsim.core.errors import StartError
from remsim.core.identity import Identity
from remsim.logs import get_logger
from remsim.net.runtime.state_lock import StateLock
from tests.doubles.certificates import CertificateWorld
from tests.doubles.programs import Program, remsim
from tests.doubles.tls_rig import client_service, running


def test_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.lock"
    first, second = StateLock(path, what="the thing"), StateLock(path, what="the thing")
    first.take(get_logger("test"))
    with pytest.raises(StartError, match=rf"the thing is in use by another program \(pid {os.getpid()}\)") as caught:
        second.take(get_logger("test"))
    assert "directory of its own" in caught.value.hint
    first.release()
    first.release()
    second.take(get_logger("test"))
    second.release()


def test_directory_that_cannot_be_written_stops_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    lock = StateLock(tmp_path / "file" / "x.lock", what="the thing")
    lock.take(get_logger("test"))
    lock.release()
    assert "not_locked" in capsys.readouterr().err


def test_directory_that_is_needed_must_be_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    lock = StateLock(tmp_path / "file" / "x.lock", what="the thing", must_exist=True)
    with pytest.raises(StartError, match="cannot write to the thing: File exists") as caught:
        lock.take(get_logger("test"))
    assert "--state" in caught.value.hint


def test_file_system_without_locks_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_descriptor: int, _how: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("remsim.net.runtime.state_lock.fcntl.flock", fail)
    StateLock(tmp_path / "x.lock", what="the thing").take(get_logger("test"))
    assert "Function not implemented" in capsys.readouterr().err


def bankd(folder: Path) -> list[str]:
    arguments = ("bankd", "--plaintext", "--reader", "sim", "--slots", "1", "--listen", "127.0.0.1:0")
    return remsim(*arguments, "--state", str(folder))


def test_second_bankd_with_the_same_state_directory_does_not_start(tmp_path: Path) -> None:
    with Program(bankd(tmp_path)) as first:
        first.wait_for("started version=")
        with Program(bankd(tmp_path)) as second:
            second.wait_for(rf"in use by another program \(pid {first.pid}\); hint: stop that one first")
            assert second.wait() == 1
        assert first.status is None
        # What is left behind by a program that was killed locks nobody out.
        first.send_signal(signal.SIGKILL)
        first.wait()
    with Program(bankd(tmp_path)) as third:
        third.wait_for("started version=")
        third.stop()


async def test_second_client_with_the_same_certificate_and_slot_does_not_start(tmp_path: Path) -> None:
    credentials = CertificateWorld(tmp_path).credentials(Identity.client(23))
    async with running(client_service(credentials, 1)):
        second = client_service(credentials, 1)
        with pytest.raises(
            StartError, match=rf"client slot C23:0 .* is in use by another program \(pid {os.getpid()}\)"
        ):
            await second.start()
        await second.stop()
    async with running(client_service(credentials, 1)):
        pass
