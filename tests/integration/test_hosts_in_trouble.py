# SPDX-License-Identifier: Apache-2.0
"""Disks that are full or read-only, under running programs: what stands goes on, the rest is said, and it heals."""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2
import psutil
import pytest

from tests.doubles.null_pcscd import null_pcscd
from tests.doubles.programs import Program, remsim
from tests.doubles.server_rig import V1, mapping

_ANY: Final = "127.0.0.1:0"
#: The list of forbidden networks, which a software card stores when it is written.
_SELECT: Final = ("00a40004023f00", "00a40004027f20", "00a40004026f7b")
_UPDATE: Final = "00d600000c" + "ff" * 12


@contextmanager
def full_disk(program: Program) -> Iterator[None]:
    """While it lasts, the program cannot make any file longer."""
    process = psutil.Process(program.pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, before)


def on_read_only(folder: Path, argv: Sequence[str]) -> list[str]:
    """``argv`` with ``folder`` mounted read-only for it alone."""
    folder.mkdir(exist_ok=True)
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *user, "--mount", "sh", "-c", mount, str(folder), *argv]


@contextmanager
def running_server(state: Path) -> Iterator[tuple[Program, str, httpx2.Client]]:
    """A server process, its RSPRO address and its REST interface."""
    argv = remsim("server", "--plaintext", "--rest-open", "--rspro", _ANY, "--rest", _ANY, "--state", str(state))
    with Program(argv) as program:
        found = program.wait_for(r"listening .*rspro=(127\.0\.0\.1:\d+).*rest=(127\.0\.0\.1:\d+)")
        with httpx2.Client(base_url=f"http://{found[2]}", timeout=20.0) as rest:
            yield program, found[1], rest


def test_server_without_room_refuses_changes_and_goes_on(tmp_path: Path) -> None:
    with running_server(tmp_path / "state") as (server, _, rest):
        assert rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0))).status_code == 201
        with full_disk(server):
            for slot in range(1, 4):
                answer = rest.post(f"{V1}/slotmaps", json=mapping((1, slot), (7, slot)))
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) > 0
            assert rest.request("DELETE", f"{V1}/slotmaps/{1 << 16}").status_code == 503
            assert len(rest.get(f"{V1}/slotmaps").json()["slotmaps"]) == 1
            server.wait_for("not_stored .*error=")
        assert rest.post(f"{V1}/slotmaps", json=mapping((1, 2), (7, 2))).status_code == 201
        assert rest.request("DELETE", f"{V1}/slotmaps/{1 << 16}").status_code == 200
        server.send_signal(signal.SIGKILL)
    with running_server(tmp_path / "state") as (_, _, rest):
        (kept,) = rest.get(f"{V1}/slotmaps").json()["slotmaps"]
        assert kept["bank"] == {"bankId": 1, "slotNr": 2}


@pytest.mark.parametrize("program", ["server", "bankd"])
def test_program_with_a_read_only_state_directory_says_so_and_does_not_start(tmp_path: Path, program: str) -> None:
    state = tmp_path / "state"
    with null_pcscd(tmp_path, env={"READERS": "1"}) as pcscd:
        options = {
            "server": ["--rest-open", "--rspro", _ANY, "--rest", _ANY],
            "bankd": ["--auto", "--listen", _ANY],
        }[program]
        argv = remsim(program, "--plaintext", *options, "--state", str(state))
        with Program(on_read_only(state, argv), env={"PCSCLITE_CSOCK_NAME": str(pcscd.socket)}) as refused:
            assert refused.wait() == 1
    (line,) = [text for text in refused.stderr.lines if text.startswith(f"remsim {program}:")]
    assert str(state) in line
    assert "read-only" in line.lower()
    assert "hint:" in line
    assert not any("Traceback" in text for text in refused.stderr.lines)


def test_bank_without_room_serves_readers_that_come_and_stores_their_slots_later(tmp_path: Path) -> None:
    slots = tmp_path / "state" / "slots.json"
    with null_pcscd(tmp_path, env={"READERS": "3"}) as pcscd:
        for number in (1, 2):
            pcscd.fault("gone", number)
        config = tmp_path / "bankd.toml"
        config.write_text(f'auto = true\nslots = 3\n[[pcscd]]\nsocket = "{pcscd.socket}"\n', encoding="utf-8")
        argv = remsim("bankd", "--plaintext", "--config", str(config), "--listen", _ANY, "--state")
        with Program([*argv, str(slots.parent)]) as bankd:
            bankd.wait_for("readers_found readers=1")
            with full_disk(bankd):
                pcscd.mend("gone", 1)
                bankd.wait_for("slots_not_stored .*hint=")
                bankd.wait_for('card_present .*Null Reader 0001.*cause="reader plugged in"')
            assert len(json.loads(slots.read_text(encoding="utf-8"))["slots"]) == 1
            pcscd.mend("gone", 2)
            bankd.wait_for("card_present .*Null Reader 0002")
            assert bankd.stop() == 0
            assert not any("Traceback" in line for line in bankd.stderr.lines)
    assert len(json.loads(slots.read_text(encoding="utf-8"))["slots"]) == 3


def test_software_card_without_room_loses_the_command_and_is_powered_again(tmp_path: Path) -> None:
    with running_server(tmp_path / "server") as (_, rspro, rest):
        assert rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0))).status_code == 201
        bank = remsim("bankd", "--plaintext", "--reader", "sim", "--slots", "1", "--server", rspro, "--listen", _ANY)
        shell = remsim("client", "shell", "--plaintext", "--server", rspro, "--client", "7:0")
        with Program([*bank, "--state", str(tmp_path / "bankd")]) as bankd, Program(shell) as client:

            def exchange(command: str) -> str:
                before = len(client.stdout.lines)
                client.send_line(command)
                return client.wait_for_stdout("R-APDU: (.*)", after=before)[1].replace(" ", "")

            client.wait_for_stdout("SET_ATR")
            for command in _SELECT:
                exchange(command)
            assert exchange(_UPDATE) == "9000"
            with full_disk(bankd):
                before = len(client.stdout.lines)
                client.send_line(_UPDATE.replace("ff", "11"))
                bankd.wait_for("card_fault .*cannot store the state of a software card")
                client.wait_for_stdout("SET_ATR", after=before)
            for command in _SELECT:
                exchange(command)
            assert exchange(_UPDATE.replace("ff", "22")) == "9000"
            assert exchange("00b000000c") == "22" * 12 + "9000"
