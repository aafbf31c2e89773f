# SPDX-License-Identifier: Apache-2.0
"""Whether libusb is there, the card-emulation device of each slot is plugged in, may be opened, and what runs on it."""

import os
from collections.abc import Sequence
from typing import Final

from remsim.config import parse_settings
from remsim.config.simtrace2 import SimtraceSettings
from remsim.core.errors import ConfigError, StartError
from remsim.core.finding import Finding, Outcome
from remsim.doctor.check import Situation
from remsim.emulators.simtrace2.boards import VERSION_STRING
from remsim.emulators.simtrace2.emulator import selector_of
from remsim.emulators.simtrace2.find import DeviceError, DeviceInfo, Found, Selector, choose, find
from remsim.emulators.simtrace2.libusb import LibusbBus, device_node

_NAME: Final = "usb"
_RULE_FILE: Final = "/etc/udev/rules.d/70-remsim-simtrace2.rules"

#: The same as in packaging/udev: one line, so that it can be given as a command.
UDEV_RULE: Final = (
    'ACTION!="remove", SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", ATTR{idVendor}=="1d50", '
    'ATTR{idProduct}=="60e3|4001|4004|616d|616e", MODE="0660", GROUP="plugdev", TAG+="uaccess", '
    'ATTR{power/control}="on"'
)
_PERMISSION_MEND: Final = (
    f"echo '{UDEV_RULE}' | sudo tee {_RULE_FILE} && sudo udevadm control --reload && sudo udevadm trigger; "
    "the client's user must be in the group plugdev"
)
#: bInterval of the interrupt endpoint in firmware from before 2022 (simtrace2.md, 10).
_OLD_INTERVAL_MS: Final = 16


async def check_usb(situation: Situation) -> Sequence[Finding]:
    """Each slot on card-emulation hardware; without a configuration, whatever such hardware is plugged in."""
    slots = situation.slots_with("simtrace2")
    if not slots and situation.slots:
        return []
    bus = LibusbBus()
    try:
        devices = bus.devices()
    except StartError as error:
        return [Finding(_NAME, Outcome.PROBLEM if slots else Outcome.NOTE, str(error), error.hint)]
    except DeviceError as error:
        return [Finding(_NAME, Outcome.PROBLEM if slots else Outcome.NOTE, str(error), error.hint)]
    if not slots:
        found = find(devices, Selector())
        return [finding for one in found for finding in await _look_at(bus, one, "")]
    findings: list[Finding] = []
    for slot in slots:
        where = "slot" if slot.client is None else str(slot.client)
        findings += await _of_slot(bus, devices, slot.settings, where)
    return findings


async def _of_slot(
    bus: LibusbBus, devices: Sequence[DeviceInfo], settings: dict[str, object], where: str
) -> list[Finding]:
    try:
        selector = selector_of(parse_settings(SimtraceSettings, settings, where=f"{where}: settings"))
        found = choose(devices, selector)
    except ConfigError as error:
        return [Finding(_NAME, Outcome.PROBLEM, str(error), error.hint)]
    except DeviceError as error:
        return [Finding(_NAME, Outcome.PROBLEM, f"{where}: {error}", error.hint)]
    return await _look_at(bus, found, f"{where}: ")


async def _look_at(bus: LibusbBus, found: Found, prefix: str) -> list[Finding]:
    node = device_node(found.device)
    if not os.access(node, os.R_OK | os.W_OK):
        return [Finding(_NAME, Outcome.PROBLEM, f"{prefix}no permission to open {node} ({found})", _PERMISSION_MEND)]
    try:
        port = bus.open_unclaimed(found)
    except DeviceError as error:
        return [Finding(_NAME, Outcome.PROBLEM, f"{prefix}{error}", error.hint)]
    try:
        version = await port.read_string(VERSION_STRING)
    finally:
        await port.close()
    findings = [Finding(_NAME, Outcome.OK, f"{prefix}{found}, firmware {version or 'of unknown version'}")]
    if found.slot.interval_ms >= _OLD_INTERVAL_MS:
        text = f"{prefix}the firmware is from before 2022: resets of the modem are seen up to 16 ms late"
        findings.append(Finding(_NAME, Outcome.NOTE, text, "flash a newer cardem firmware with dfu-util"))
    return findings
