# SPDX-License-Identifier: Apache-2.0
"""The SIMtrace2 emulator with the real libusb, on devices that umockdev emulates, in each way of handling events."""

import errno
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.programs import remsim
from tests.doubles.usb_client import ATR, LOOPS
from tests.doubles.usb_host import UsbHost

READ = bytes.fromhex("00b0000002")
OK = b"\x90\x00"
EVERY_LOOP = pytest.mark.parametrize("loop", sorted(LOOPS))


@pytest.fixture
def host() -> Iterator[UsbHost]:
    with UsbHost() as host:
        yield host


def start(host: UsbHost, loop: str = "epoll", **settings: object) -> int:
    return host.start([sys.executable, "-m", "tests.doubles.usb_client", loop, json.dumps(settings)])


def boot(host: UsbHost, path: str = "1-4", slot: int = 0) -> None:
    host.await_card(ATR, path, slot)
    assert host.cold_reset(path, slot) == ATR


def booted(host: UsbHost, loop: str = "epoll") -> int:
    host.plug()
    pid = start(host, loop)
    host.wait_for("device_ready")
    host.wait_for("device_firmware .*version=0.9.1")
    boot(host)
    return pid


@EVERY_LOOP
def test_conversation_with_every_length_around_packets(host: UsbHost, loop: str) -> None:
    pid = booted(host, loop)
    for length in (1, 46, 47, 48, 49, 50, 111, 114, 175, 178, 239, 242, 255):
        assert host.exchange(bytes((0, 0xB0, 0, 0, length))) == bytes(length) + OK
        assert host.exchange(bytes((0, 0xD6, 0, 0, length)) + bytes(length)) == OK
    assert host.exchange(bytes.fromhex("00b0000000")) == bytes(256) + OK
    assert host.exchange(bytes.fromhex("0004000000"))[-2:] == OK
    state = host.state()
    assert state["violations"] == []
    assert state["zero_packets"] >= 4
    assert host.end(pid) == 0
    assert host.state()["board_events"][-1] == ["sim_switch", "local"]
    host.wait_for("test stopped")


@EVERY_LOOP
def test_unplug_in_the_middle_of_a_command_and_replug(host: UsbHost, loop: str) -> None:
    pid = booted(host, loop)
    for round_number in range(2):
        mark = host.mark()
        host.do("begin", path="1-4", slot=0, tpdu="0070000000" if round_number else "00b2000005")
        host.wait_for("test tpdu", after=mark)
        host.do("unplug", path="1-4")
        host.wait_for("device_lost .*device gone", after=mark)
        host.do("abandon", path="1-4", slot=0)
        host.do("replug", path="1-4")
        host.wait_for("device_ready", after=mark)
        boot(host)
        assert host.exchange(READ) == bytes(2) + OK
        assert host.state()["violations"] == []
    assert host.end(pid) == 0


@EVERY_LOOP
def test_stalls_errors_and_garbage_leave_the_slot_at_work(host: UsbHost, loop: str) -> None:
    pid = booted(host, loop)
    for endpoint in (0x85, 0x86, 0x04):
        for number in (errno.EPIPE, errno.EPROTO):
            host.do("fail", path="1-4", endpoint=endpoint, number=number)
    for endpoint in (0x85, 0x86):
        for packet in ("00" * 64, "ff" * 63, "01", "0106000000001300", "0106000000000900ff"):
            host.do("inject", path="1-4", endpoint=endpoint, packet=packet)
    assert host.exchange(READ) == bytes(2) + OK
    assert host.exchange(bytes.fromhex("00b2000005")) == bytes(5) + OK
    host.wait_for("usb_transfer_failed .*endpoint stalled")
    host.wait_for("bad_message_from_device .*bytes=63")
    assert host.state()["halts_cleared"] == 3
    assert host.end(pid) == 0


def test_device_that_answers_nothing_any_more_is_opened_afresh(host: UsbHost) -> None:
    pid = booted(host)
    mark = host.mark()
    for _ in range(12):
        host.do("fail", path="1-4", endpoint=0x86, number=errno.EPROTO)
    host.wait_for("device_lost .*10 times in a row", after=mark)
    host.wait_for("device_ready", after=mark)
    boot(host)
    assert host.end(pid) == 0


def test_stop_with_transfers_and_a_command_pending(host: UsbHost) -> None:
    pid = booted(host)
    mark = host.mark()
    host.do("begin", path="1-4", slot=0, tpdu="0070000000")
    host.wait_for("test tpdu", after=mark)
    assert host.end(pid) == 0


def test_device_that_comes_after_the_program(host: UsbHost) -> None:
    pid = start(host)
    host.wait_for("device_not_usable .*no SIMtrace2 or related device is plugged in")
    host.plug()
    host.wait_for("device_ready")
    boot(host)
    assert host.end(pid) == 0


def test_interface_has_one_owner_and_the_next_one_waits(host: UsbHost) -> None:
    first = booted(host)
    mark = host.mark()
    second = start(host)
    host.wait_for("device_not_usable .*is in use by another program", after=mark)
    mark = host.mark()
    assert host.end(first) == 0
    host.wait_for("device_ready", after=mark)
    boot(host)
    assert host.end(second) == 0


def test_two_slots_of_one_board_and_devices_told_apart(host: UsbHost) -> None:
    host.plug("qmod", "1-1", serial="aa" * 16)
    host.plug("simtrace", "1-4", serial="bb" * 16)
    host.plug("ngff_cardem", "1-5", serial="cc" * 16)
    pids = [
        start(host, path="1-1", interface=0),
        start(host, "poll", serial="AA" * 16, interface=1),
        start(host, product="60e3"),
        start(host, address=9),
    ]
    for words in ("path=1-1 interface=0", "path=1-1 interface=1", "path=1-4", "path=1-5"):
        host.wait_for(f"device_ready {words}")
    for path, slot in (("1-1", 0), ("1-1", 1), ("1-4", 0), ("1-5", 0)):
        boot(host, path, slot)
        assert host.exchange(READ, path, slot) == bytes(2) + OK
    for pid in pids:
        assert host.end(pid) == 0


def test_settings_that_fit_several_are_one_line(host: UsbHost) -> None:
    host.plug("qmod", "1-1")
    pid = start(host)
    host.wait_for(r"2 emulator slots fit: 1-1 interface 0; 1-1 interface 1")
    host.stage.wait_for_stdout(rf"^ended {pid} 1$")


def test_alternate_setting_is_chosen_only_if_asked_for(host: UsbHost) -> None:
    # The firmware stalls SET_INTERFACE, so an interface that were set would not open.
    host.plug()
    pid = start(host, config=1, interface=0, altsetting=0)
    host.wait_for("device_ready")
    assert host.end(pid) == 0


def doctor(host: UsbHost, *words: str) -> int:
    """Run ``remsim doctor`` there and return its exit status; its lines are on stdout."""
    pid = host.start(remsim("doctor", *words))
    return int(host.stage.wait_for_stdout(rf"^ended {pid} (\d+)$")[1])


def test_doctor_tells_device_slot_and_firmware(host: UsbHost, tmp_path: Path) -> None:
    config = tmp_path / "client.toml"
    config.write_text('[[slot]]\nclient = "7:0"\nemulator = "simtrace2"\nsettings = { path = "1-4" }\n')
    assert doctor(host, "--config", str(config)) == 1
    host.stage.wait_for_stdout(r"^problem +usb +C7:0: no SIMtrace2 or related device is plugged in")
    host.plug("qmod", "1-3", serial="aa" * 16)
    host.plug()
    doctor(host, "--config", str(config))
    host.stage.wait_for_stdout(r"^ok +usb +C7:0: SIMtrace2 1d50:60e3 at 1-4 .* interface 0, firmware 0\.9\.1")
    doctor(host)
    host.stage.wait_for_stdout(r"^ok +usb +sysmoQMOD .* at 1-3 .* interface 1, firmware 0\.9\.1")


def test_doctor_and_a_running_client_do_not_disturb_each_other(host: UsbHost) -> None:
    pid = booted(host)
    doctor(host)
    host.stage.wait_for_stdout(r"^ok +usb +SIMtrace2 .* firmware 0\.9\.1")
    assert host.exchange(READ) == bytes(2) + OK
    assert host.end(pid) == 0


def test_client_takes_every_interface_that_no_table_claims(host: UsbHost, tmp_path: Path) -> None:
    host.plug("qmod", "1-1", serial="aa" * 16)
    host.plug("simtrace", "1-4", serial="bb" * 16)
    config = tmp_path / "client.toml"
    config.write_text('[[slot]]\nclient = "9:0"\nemulator = "simtrace2"\nsettings = { path = "1-4" }\n')
    words = ["--plaintext", "--server", "127.0.0.1:1", "--config", str(config)]
    pid = host.start(remsim("client", "run", "--auto", "--auto-client", "7:0", *words), {"HOME": str(tmp_path)})
    for place in ("path=1-4 interface=0", "path=1-1 interface=0", "path=1-1 interface=1"):
        host.wait_for(f"device_ready {place}")
    assert host.end(pid) == 0


def test_client_with_nothing_to_take_says_so(host: UsbHost, tmp_path: Path) -> None:
    pid = host.start(remsim("client", "run", "--plaintext", "--auto"), {"HOME": str(tmp_path)})
    host.wait_for("remsim client: no card-emulation interface is plugged in; hint: run remsim doctor for details")
    host.stage.wait_for_stdout(rf"^ended {pid} 1$")
