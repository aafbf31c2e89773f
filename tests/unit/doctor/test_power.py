# SPDX-License-Identifier: Apache-2.0
"""Power of USB hubs, from trees as the kernel shows them."""

from pathlib import Path

import pytest

from remsim.bankd.host.usb import UsbDevice, read_devices
from remsim.config import BankdConfig, HostPort
from remsim.core.finding import Outcome
from remsim.core.identity import Role
from remsim.doctor import power
from remsim.doctor.check import Situation
from remsim.doctor.power import check_power, judge_power


def device(
    folder: Path, path: str, *, kind: str = "00", attributes: str = "80", needs: str = "100mA", interface: str = "ff"
) -> None:
    place = folder / path
    place.mkdir()
    facts = {"bDeviceClass": kind, "bmAttributes": attributes, "bMaxPower": needs, "product": f"Thing {path}"}
    for name, text in facts.items():
        (place / name).write_text(f"{text}\n")
    (folder / f"{path}:1.0").mkdir()
    (folder / f"{path}:1.0" / "bInterfaceClass").write_text(f"{interface}\n")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root hub, a hub with a power supply at its port 1, one without at port 2, readers in both."""
    device(tmp_path, "usb1", kind="09", attributes="e0", needs="0mA", interface="09")
    device(tmp_path, "1-1", kind="09", attributes="e0", interface="09")
    device(tmp_path, "1-2", kind="09", attributes="a0", interface="09")
    for port in range(1, 6):
        device(tmp_path, f"1-1.{port}", needs="200mA", interface="0b")
    device(tmp_path, "1-2.1", interface="0b")
    return tmp_path


def test_tree_of_the_kernel_is_read(tree: Path) -> None:
    devices = {found.path: found for found in read_devices(tree)}
    assert devices["1-1.3"] == UsbDevice("1-1.3", "Thing 1-1.3", is_reader=True, needs_ma=200)
    assert (devices["1-1"].is_hub, devices["1-1"].is_self_powered, devices["1-1"].is_reader) == (True, True, False)
    assert (devices["1-2"].is_hub, devices["1-2"].is_self_powered) == (True, False)
    assert {path: found.parent for path, found in devices.items()} == {
        "usb1": "usb1",
        "1-1": "usb1",
        "1-2": "usb1",
        **{f"1-1.{port}": "1-1" for port in range(1, 6)},
        "1-2.1": "1-2",
    }


def test_enough_power_is_well(tree: Path) -> None:
    (finding,) = judge_power(read_devices(tree))
    assert (finding.outcome, finding.text) == (Outcome.OK, "6 USB readers, no hub gives them too little")


def test_device_that_asks_for_more_than_a_port_of_its_hub_has_is_told(tree: Path) -> None:
    (tree / "1-2.1" / "bMaxPower").write_text("150mA\n")
    (finding,) = judge_power(read_devices(tree))
    assert finding.outcome is Outcome.NOTE
    assert finding.text.startswith("hub Thing 1-2 at 1-2 has no power supply, and its 1 devices ask for 150 mA")
    assert finding.mend


def test_more_devices_than_a_hub_without_supply_can_feed_are_told(tree: Path) -> None:
    for port in range(2, 6):
        device(tree, f"1-2.{port}")
    (finding,) = judge_power(read_devices(tree))
    assert "its 5 devices ask for 500 mA" in finding.text


def test_ports_that_were_switched_off_are_a_problem(tree: Path) -> None:
    port = tree / "1-1:1.0" / "1-1-port3"
    port.mkdir()
    (port / "over_current_count").write_text("2\n")
    (finding,) = judge_power(read_devices(tree))
    assert finding.outcome is Outcome.PROBLEM
    assert "ports were switched off 2 times" in finding.text


def test_host_without_usb_has_nothing_to_tell(tmp_path: Path) -> None:
    assert judge_power(read_devices(tmp_path / "none")) == []


def test_values_that_are_none_do_no_harm(tree: Path) -> None:
    (tree / "1-2.1" / "bMaxPower").write_bytes(b"\xff\xfe")
    (tree / "1-1" / "bmAttributes").unlink()
    found = {one.path: one for one in read_devices(tree)}
    assert found["1-2.1"].needs_ma == 0
    assert not found["1-1"].is_self_powered


@pytest.mark.parametrize(("reader", "count"), [(None, 1), ("pcscd", 1), ("pcsc", 1), ("sim", 0)])
async def test_software_cards_need_no_power(
    tree: Path, tmp_path: Path, reader: str | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = read_devices(tree)
    monkeypatch.setattr(power, "read_devices", lambda: devices)
    config = BankdConfig(reader=reader, state_dir=tmp_path)
    assert len(await check_power(Situation(HostPort("h", 1), role=Role.BANK, bankd=config))) == count
