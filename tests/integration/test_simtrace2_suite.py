# SPDX-License-Identifier: Apache-2.0
"""From the modem to the card: virtual modem, virtual SIMtrace2, client, server, bank, software card."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from remsim.config.simtrace2 import SimtraceSettings
from remsim.emulators.simtrace2.emulator import SimtraceEmulator
from remsim.readers.sim.profiles import load_profile
from remsim.uicc import Uicc
from tests.doubles.programs import Program, remsim
from tests.doubles.suite import Suite
from tests.doubles.usb_bus import FakeBus, Plugged
from tests.doubles.usb_host import UsbHost
from tests.doubles.virtual_modem import VirtualModem
from tests.reference import reference

_REST = ("--rest-open", "--rest", "127.0.0.1:0")
_CARD = ("--listen", "127.0.0.1:0", "--reader", "sim", "--sim-profile", "iot-modem", "--slots", "1")
#: Commands of a boot that is only to show that a boot works.
_SHORT = 25


def trace(name: str) -> Iterator[dict[str, Any]]:
    with reference("traces", f"{name}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def short_boot() -> list[bytes]:
    """The first commands of the recorded boot, without those that a second boot answers otherwise."""
    commands = [bytes.fromhex(entry["cmd"]) for entry in trace("iot-modem-boot") if "cmd" in entry]
    return commands[:_SHORT]


async def playing_card(bus: FakeBus, plugged: Plugged, number: int = 0) -> None:
    """Until the device plays the bank's card."""
    atr = load_profile("iot-modem").atr[1:]
    await bus.until(lambda: plugged.device.slots[number].is_enabled and plugged.device.slots[number].atr[1:] == atr)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["iot-modem", "phone"])
async def test_recorded_boot_gets_the_cards_own_answers(name: str, tmp_path: Path) -> None:
    bus = FakeBus()
    plugged = bus.plug()
    direct, modem = Uicc(load_profile(name)), VirtualModem()
    async with Suite(tmp_path, [SimtraceEmulator(SimtraceSettings(), bus)], profile=name) as suite:
        slot = plugged.device.slots[0]
        await bus.until(lambda: slot.is_enabled and slot.atr == direct.profile.atr)
        count = 0
        for entry in trace(f"{name}-boot"):
            if "event" in entry:
                assert await plugged.modems[0].run(modem.cold_reset()) == direct.cold_reset()
                continue
            tpdu = bytes.fromhex(entry["cmd"])
            assert await plugged.modems[0].run(modem.exchange(tpdu)) == direct.transmit(tpdu), entry
            count += 1
        assert suite.metric("tpdus_total") == count
        assert suite.metric("hardware_present") == 1
        assert slot.violations == []
        assert modem.nulls == 0


@pytest.mark.timeout(180)
async def test_hundred_boots_in_a_row(tmp_path: Path) -> None:
    bus = FakeBus()
    plugged = bus.plug()
    modem, stand = VirtualModem(), plugged.modems[0]
    async with Suite(tmp_path, [SimtraceEmulator(SimtraceSettings(), bus)], profile="iot-modem") as suite:
        await playing_card(bus, plugged)
        first: list[bytes] = []
        for _ in range(100):
            atr = await stand.run(modem.cold_reset())
            answers = [await stand.run(modem.exchange(tpdu)) for tpdu in short_boot()]
            first = first or [atr, *answers]
            assert [atr, *answers] == first
        assert suite.metric("resets_total", kind="cold") == 100
        assert suite.metric("tpdus_failed_total") in (None, 0)
        assert plugged.device.slots[0].violations == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("passed", [0, 1, 3, 7, 12])
async def test_unplug_during_a_boot_and_replug(passed: int, tmp_path: Path) -> None:
    bus = FakeBus()
    plugged = bus.plug()
    modem, stand = VirtualModem(), plugged.modems[0]
    async with Suite(tmp_path, [SimtraceEmulator(SimtraceSettings(), bus)], profile="iot-modem") as suite:
        await playing_card(bus, plugged)
        await stand.run(modem.cold_reset())
        commands = short_boot()
        for tpdu in commands[:passed]:
            await stand.run(modem.exchange(tpdu))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(stand.run(modem.exchange(commands[passed])))
            # Header read, procedure byte or TPDU on its way: as far as that turn of the loop has come.
            for _ in range(passed):
                await asyncio.sleep(0)
            bus.unplug()
            running.cancel()
        assert not plugged.ports or not plugged.ports[0].waiting[0x85]
        bus.replug(plugged)
        await playing_card(bus, plugged)
        await stand.run(modem.cold_reset())
        direct = Uicc(load_profile("iot-modem"))
        direct.cold_reset()
        for tpdu in commands[:3]:
            assert await stand.run(modem.exchange(tpdu)) == direct.transmit(tpdu)
        assert suite.metric("hardware_losses_total") == 1
        assert suite.metric("hardware_present") == 1
        assert plugged.device.slots[0].violations == []


@pytest.mark.timeout(120)
async def test_eight_slots_of_one_client_boot_at_once(tmp_path: Path) -> None:
    bus = FakeBus()
    paths = [f"1-{port}" for port in range(1, 5)]
    devices = [bus.plug("qmod", path) for path in paths]
    emulators = [
        SimtraceEmulator(SimtraceSettings(path=path, interface=number), bus) for path in paths for number in (0, 1)
    ]
    modems = [modem for device in devices for modem in device.modems]

    async def boot(number: int) -> list[bytes]:
        modem = VirtualModem()
        await modems[number].run(modem.cold_reset())
        return [await modems[number].run(modem.exchange(tpdu)) for tpdu in short_boot()]

    async with Suite(tmp_path, emulators, profile="iot-modem"):
        for device in devices:
            for number in (0, 1):
                await playing_card(bus, device, number)
        async with asyncio.TaskGroup() as group:
            boots = [group.create_task(boot(number)) for number in range(len(modems))]
    answers = [boot.result() for boot in boots]
    # The cards differ in IMSI and ICCID only.
    assert {tuple(answer[-2:] for answer in each) for each in answers} == {tuple(answer[-2:] for answer in answers[0])}
    assert all(slot.violations == [] for plugged in devices for slot in plugged.device.slots)


@pytest.mark.timeout(180)
def test_programs_on_the_real_library_serve_a_boot_an_unplug_and_another_boot(tmp_path: Path) -> None:
    common = ["--plaintext"]
    config = tmp_path / "client.toml"
    config.write_text('[[slot]]\nclient = "7:0"\nemulator = "simtrace2"\nsettings = { path = "1-4" }\n')
    with Program(
        remsim("server", *common, *_REST, "--rspro", "127.0.0.1:0", "--state", str(tmp_path / "server"))
    ) as server:
        rspro, rest = server.wait_for(r"listening rspro=(\S+) rest=(\S+)").groups()
        with (
            Program(remsim("bankd", *common, *_CARD, "--server", rspro, "--state", str(tmp_path / "bankd"))) as bankd,
            UsbHost() as host,
        ):
            bankd.wait_for("server_connected|listening")
            body = {"bank": {"bankId": 1, "slotNr": 0}, "client": {"clientId": 7, "slotNr": 0}}
            assert httpx2.post(f"http://{rest}/api/backend/v1/slotmaps", json=body).status_code == 201
            host.plug()
            argv = remsim("client", "run", *common, "--server", rspro, "--config", str(config))
            client = host.start(argv, {"HOME": str(tmp_path), "NO_COLOR": "1", "PATH": os.environ["PATH"]})
            host.wait_for("device_ready")
            host.await_card(load_profile("iot-modem").atr)
            direct = Uicc(load_profile("iot-modem"))
            for entry in trace("iot-modem-boot"):
                if "event" in entry:
                    assert host.cold_reset() == direct.cold_reset()
                    continue
                tpdu = bytes.fromhex(entry["cmd"])
                assert host.exchange(tpdu) == direct.transmit(tpdu)
            mark = host.mark()
            host.do("begin", path="1-4", slot=0, tpdu=short_boot()[0].hex())
            host.do("unplug", path="1-4")
            host.wait_for("device_lost", after=mark)
            host.do("abandon", path="1-4", slot=0)
            host.do("replug", path="1-4")
            host.wait_for("device_ready", after=mark)
            host.await_card(load_profile("iot-modem").atr)
            assert host.cold_reset() == direct.cold_reset()
            assert host.exchange(short_boot()[0]) == direct.transmit(short_boot()[0])
            assert host.state()["violations"] == []
            assert host.end(client) == 0
