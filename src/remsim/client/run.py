# SPDX-License-Identifier: Apache-2.0
"""What ``remsim client run`` and ``remsim client vpcd`` do: slots with emulators, until the process is told to end."""

from collections.abc import Sequence

from remsim.client.metrics import ClientMetrics
from remsim.client.observer import ClientObserver
from remsim.client.service import ClientService
from remsim.client.slot import SlotSpec
from remsim.config import ClientRunConfig, ClientSlotConfig, ClientVpcdConfig, DaemonConfig
from remsim.emulators.registry import make_emulator
from remsim.emulators.simtrace2_find import DeviceError
from remsim.emulators.vpcd import VpcdEmulator
from remsim.errors import ConfigError, StartError
from remsim.ids import ClientSlot
from remsim.net.process import run_service


def run(config: ClientRunConfig) -> int:
    """Serve every slot of ``config`` and return the exit status.

    Raises ConfigError if an emulator cannot be made, StartError if there is nothing to serve.
    """
    return _serve(slot_specs(config), config)


def slot_specs(config: ClientRunConfig) -> list[SlotSpec]:
    """What each slot is made of. Raises ConfigError and StartError like ``run``."""
    specs = []
    for number, slot in enumerate((*config.slot, *(found_slots(config) if config.auto else ()))):
        try:
            emulator = make_emulator(slot.emulator, slot.settings)
        except ConfigError as error:
            raise ConfigError(f"slot[{number}]: {error}", hint=error.hint) from None
        emulator.set_command_rules(config.command_rules(slot))
        specs.append(SlotSpec(config.of_slot(slot), emulator, ClientObserver()))
    return specs


def found_slots(config: ClientRunConfig) -> list[ClientSlotConfig]:
    """A slot for each card-emulation interface that is plugged in and that no table of ``config`` claims.

    Raises ConfigError if a table's settings cannot be used, StartError if there is no slot at all.
    """
    from remsim.emulators.simtrace2 import found_settings
    from remsim.emulators.simtrace2_usb import LibusbBus

    claimed = [slot.settings for slot in config.slot if slot.emulator == "simtrace2"]
    try:
        found = found_settings(LibusbBus(), claimed)
    except DeviceError as error:
        raise StartError(str(error), hint=error.hint) from None
    if not found and not config.slot:
        raise StartError("no card-emulation interface is plugged in", hint="remsim doctor says more")
    first = config.auto_client
    return [
        ClientSlotConfig(
            client=None if first is None else ClientSlot(first.client_id, first.slot_nr + number),
            emulator="simtrace2",
            settings=settings,
        )
        for number, settings in enumerate(found)
    ]


def vpcd(config: ClientVpcdConfig) -> int:
    """Be the card in one virtual reader and return the exit status."""
    return _serve([SlotSpec(config, VpcdEmulator(config.reader), ClientObserver())], config)


def _serve(specs: Sequence[SlotSpec], config: DaemonConfig) -> int:
    metrics = ClientMetrics()
    return run_service(lambda: ClientService(specs, metrics=metrics), config=config, metrics=metrics)
