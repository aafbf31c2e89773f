# SPDX-License-Identifier: Apache-2.0
"""What the doctor learns from pcscd's socket: each version, several daemons, one that hangs or is full."""

import contextlib
import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from remsim.bankd.host import pcscd
from remsim.bankd.host.pcscd import ask_pcscd
from tests.doubles.null_pcscd import null_pcscd
from tests.doubles.pcscd import PcscdNamespace
from tests.doubles.programs import remsim


@pytest.mark.parametrize(("version", "listed"), [("4:4", 16), ("4:5", 16), ("4:6", 20)])
async def test_as_many_readers_as_the_version_lists_are_seen(version: str, listed: int, tmp_path: Path) -> None:
    with null_pcscd(tmp_path, env={"VERSION": version, "READERS": "20"}) as null:
        found = await ask_pcscd(null.socket)
        assert (found.trouble, found.listener) == (None, null.program.pid)
    assert "{}:{}".format(*(found.protocol or ())) == version
    assert [reader.name for reader in found.readers] == [f"Null Reader {number:04d} 00" for number in range(listed)]


async def test_pcscd_that_is_stopped_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcscd, "DEADLINE_S", 0.3)
    with null_pcscd(tmp_path) as null, contextlib.ExitStack() as stack:
        null.program.send_signal(signal.SIGSTOP)
        stack.callback(null.program.send_signal, signal.SIGCONT)
        found = await ask_pcscd(null.socket)
        assert (found.trouble, found.listener, found.is_stopped) == ("silent", null.program.pid, True)


async def test_queue_that_is_full_is_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop's own function takes it for one, and a pcscd that hangs would look as if it refused us."""
    monkeypatch.setattr(pcscd, "DEADLINE_S", 0.3)
    with socket.socket(socket.AF_UNIX) as server, contextlib.ExitStack() as stack:
        server.bind(str(tmp_path / "comm"))
        server.listen(0)
        for _ in range(2):
            end = stack.enter_context(socket.socket(socket.AF_UNIX))
            end.settimeout(0)
            end.connect_ex(str(tmp_path / "comm"))
        assert (await ask_pcscd(tmp_path / "comm")).trouble == "silent"


def _rows(done: subprocess.CompletedProcess[str], *checks: str) -> list[tuple[str, str]]:
    assert done.stderr == ""
    return [(row["outcome"], row["text"]) for row in json.loads(done.stdout)["findings"] if row["check"] in checks]


def test_several_daemons_of_a_file_are_examined(tmp_path: Path) -> None:
    config = tmp_path / "bankd.toml"
    with null_pcscd(tmp_path, "left", {"READERS": "3"}) as left, null_pcscd(tmp_path, "right") as right:
        config.write_text(
            f'slots = 2\n[[pcscd]]\nsocket = "{left.socket}"\nname = "left"\n[[pcscd]]\nsocket = "{right.socket}"\n'
            '[[slot]]\nslot = 0\nreader = "left/Null Reader 0002 00"\n'
            '[[slot]]\nslot = 1\nreader = "2/Null Reader 0016 00"\n',
            encoding="utf-8",
        )
        words = ("doctor", "bankd", "--json", "--config", str(config), "--state", str(tmp_path / "bank"))
        done = subprocess.run(remsim(*words), capture_output=True, text=True, timeout=60, check=False)
    chosen, first, second, full, missing = _rows(done, "reader", "pcscd")
    assert chosen == ("ok", "pcscd is used: [[pcscd]] names its sockets")
    assert f"at {left.socket}" in first[1]
    assert first[1].endswith(": 3 readers, 3 with a card")
    assert second[1].endswith(": 16 readers, 16 with a card")
    assert full == ("note", f"the pcscd at {right.socket} lists 16 readers at most, and has so many")
    assert missing == ("note", "slot 1: no reader matches 2/Null Reader 0016 00")


#: Argument: a socket. Holds connections to it, until its input is closed.
_HOLD = """
import socket, sys
ends = [socket.socket(socket.AF_UNIX) for _ in range(200)]
for end in ends:
    end.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_real_pcscd_with_two_hundred_clients_is_full(pcscd_namespace: PcscdNamespace, tmp_path: Path) -> None:
    place = "/run/pcscd/pcscd.comm"
    holder = pcscd_namespace.program(["python3", "-c", _HOLD, place])
    holder.wait_for_stdout("held")
    words = ("doctor", "bankd", "--json", "--state", str(tmp_path / "bank"))
    done = pcscd_namespace.run(remsim(*words), timeout_s=60)
    (found,) = _rows(done, "pcscd")
    assert found == ("problem", f"pcscd at {place} has 200 connections and takes no more")
    holder.close_input()
    assert holder.wait() == 0
    done = pcscd_namespace.run(remsim(*words), timeout_s=60)
    chosen, well = _rows(done, "reader", "pcscd")
    assert chosen == ("ok", f"pcscd is used: {place} answers (protocol {_protocol(well[1])})")
    assert well[1].endswith(": 2 readers, 0 with a card")


def _protocol(text: str) -> str:
    """What the pcscd of this machine speaks, by its version."""
    version = tuple(int(number) for number in text.removeprefix("pcscd ").partition(" ")[0].split("."))
    return "4:6" if version >= (2, 5) else "4:5" if version >= (2, 3) else "4:4"
