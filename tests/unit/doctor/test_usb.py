# SPDX-License-Identifier: Apache-2.0
"""What the doctor says about USB where things are wrong."""

import pytest

from remsim.config import ClientSlotConfig, HostPort
from remsim.core.errors import StartError
from remsim.core.finding import Finding, Outcome
from remsim.doctor import usb
from remsim.doctor.check import Situation
from remsim.doctor.usb import UDEV_RULE, check_usb
from remsim.emulators.simtrace2.find import DeviceError, DeviceInfo, Found
from remsim.emulators.simtrace2.usb import NobodyListens, UsbPort
from tests.doubles.usb_bus import FakeBus
from tests.reference import ROOT

SERVER = HostPort("127.0.0.1", 9998)


class Bus(FakeBus):
    """With what only the real one has."""

    missing: StartError | None = None

    def devices(self) -> list[DeviceInfo]:
        if self.missing is not None:
            raise self.missing
        return super().devices()

    def open_unclaimed(self, found: Found) -> UsbPort:
        return self.open(found, NobodyListens())


@pytest.fixture
async def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    bus = Bus()
    monkeypatch.setattr(usb, "LibusbBus", lambda: bus)
    monkeypatch.setattr(usb, "device_node", lambda _device: "/dev/null")
    return bus


async def findings(settings: dict[str, object] | None) -> list[Finding]:
    slots = () if settings is None else (ClientSlotConfig(emulator="simtrace2", settings=settings),)
    return list(await check_usb(Situation(SERVER, slots)))


async def test_slot_with_its_device(bus: Bus) -> None:
    bus.plug()
    (finding,) = await findings({"path": "1-4"})
    assert finding.outcome is Outcome.OK
    assert finding.text.endswith("interface 0, firmware 0.9.1")


async def test_no_permission_is_mended_by_the_rule(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usb, "device_node", lambda _device: "/dev/bus/usb/999/999")
    bus.plug()
    (finding,) = await findings({})
    assert finding.outcome is Outcome.PROBLEM
    assert finding.text.startswith("slot: no permission to open /dev/bus/usb/999/999")
    assert UDEV_RULE in finding.mend


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"path": "1-5"}, "slot: no device fits the settings"),
        ({"path": "nowhere"}, 'must be a string such as "2-1.4"'),
        ({"interface": 3}, "slot: 1d50:60e3 at 1-4"),
    ],
)
async def test_settings_that_fit_nothing(bus: Bus, settings: dict[str, object], words: str) -> None:
    bus.plug()
    (finding,) = await findings(settings)
    assert finding.outcome is Outcome.PROBLEM
    assert words in finding.text


async def test_missing_library_matters_only_if_it_is_needed(bus: Bus) -> None:
    bus.missing = StartError("the library libusb-1.0 is missing", hint="apt-get install libusb-1.0-0")
    assert [found.outcome for found in await findings({})] == [Outcome.PROBLEM]
    assert [found.outcome for found in await findings(None)] == [Outcome.NOTE]


async def test_host_without_usb(bus: Bus) -> None:
    bus.has_usb = False
    assert [found.outcome for found in await findings({})] == [Outcome.PROBLEM]
    assert [found.outcome for found in await findings(None)] == [Outcome.NOTE]


async def test_slots_of_another_kind_need_no_usb(bus: Bus) -> None:
    bus.has_usb = False
    situation = Situation(SERVER, (ClientSlotConfig(emulator="vpcd"),))
    assert await check_usb(situation) == []


async def test_device_that_cannot_be_opened(bus: Bus) -> None:
    bus.plug()
    bus.refusal = DeviceError("it has gone")
    assert [found.text for found in await findings({})] == ["slot: it has gone"]


async def test_old_firmware_is_noted(bus: Bus) -> None:
    plugged = bus.plug()
    (setting, *rest) = plugged.info.configurations[1]
    endpoints = (*setting.endpoints[:2], type(setting.endpoints[2])(0x86, 3, 64, 16))
    old = type(setting)(setting.number, 0, 0xFF, 2, 0, endpoints)
    bus.unplug()
    bus.plug(configurations={1: (old, *rest)})
    ok, note = await findings({})
    assert (ok.outcome, note.outcome) == (Outcome.OK, Outcome.NOTE)
    assert "before 2022" in note.text


def test_rule_is_that_of_the_package() -> None:
    text = (ROOT / "packaging/udev/70-remsim-simtrace2.rules").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if not line.startswith("#")] == [UDEV_RULE]
