# SPDX-License-Identifier: Apache-2.0
"""Whether USB gives the readers enough power, as far as the kernel tells (USB 2.0, chapter 7.2).

``judge_power`` only thinks.
"""

from collections.abc import Sequence
from typing import Final

from remsim.bankd.host.usb import UsbDevice, read_devices
from remsim.core.finding import Finding, Outcome
from remsim.doctor.check import Situation

_NAME: Final = "power"
#: A hub without a power supply gets 500 mA, needs one unit of 100 mA itself, and has one for each of its ports.
_BUS_POWERED_PORT_MA: Final = 100
_BUS_POWERED_HUB_MA: Final = 400


def judge_power(devices: Sequence[UsbDevice]) -> list[Finding]:
    """Hubs that give too little, and ports that were switched off; a word if all is well and there are readers."""
    found: list[Finding] = []
    for hub in (device for device in devices if device.is_hub):
        children = [device for device in devices if device.parent == hub.path and device is not hub]
        found += _judge_hub(hub, children)
    readers = sum(device.is_reader for device in devices)
    if not found and readers:
        text = f"{readers} USB reader{'' if readers == 1 else 's'}, no hub gives them too little"
        return [Finding(_NAME, Outcome.OK, text)]
    return found


def _judge_hub(hub: UsbDevice, children: Sequence[UsbDevice]) -> list[Finding]:
    found = []
    if hub.over_currents:
        text = f"hub {hub}: ports were switched off {hub.over_currents} times since the start, for too much current"
        mend = "plug the readers into another hub with a power supply of its own; look for a broken cable"
        found.append(Finding(_NAME, Outcome.PROBLEM, text, mend))
    is_root = hub.path.startswith("usb")
    if is_root or hub.is_self_powered:
        return found
    needed = sum(device.needs_ma for device in children)
    greedy = [device for device in children if device.needs_ma > _BUS_POWERED_PORT_MA]
    mend = "give the hub a power supply, or use one that has one"
    if needed > _BUS_POWERED_HUB_MA or greedy:
        text = (
            f"hub {hub} has no power supply, and its {len(children)} devices ask for {needed} mA: such a hub has "
            f"{_BUS_POWERED_HUB_MA} mA, and {_BUS_POWERED_PORT_MA} mA for each port"
        )
        found.append(Finding(_NAME, Outcome.NOTE, text, mend))
    return found


async def check_power(situation: Situation) -> Sequence[Finding]:
    """The USB hubs of a bank's host; nothing for software cards."""
    if situation.bankd is not None and situation.bankd.reader not in (None, "pcscd", "pcsc"):
        return []
    return judge_power(read_devices())
