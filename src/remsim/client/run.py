# SPDX-License-Identifier: Apache-2.0
"""What ``remsim client run`` and ``remsim client vpcd`` do: slots with emulators, until the process is told to end."""

from collections.abc import Sequence

from remsim.client.metrics import ClientMetrics
from remsim.client.observer import ClientObserver
from remsim.client.service import ClientService
from remsim.client.slot import SlotSpec
from remsim.config import ClientRunConfig, ClientVpcdConfig, DaemonConfig
from remsim.emulators.registry import make_emulator
from remsim.emulators.vpcd import VpcdEmulator
from remsim.errors import ConfigError
from remsim.net.process import run_service


def run(config: ClientRunConfig) -> int:
    """Serve every slot of ``config`` and return the exit status. Raises ConfigError if an emulator cannot be made."""
    specs = []
    for number, slot in enumerate(config.slot):
        try:
            emulator = make_emulator(slot.emulator, slot.settings)
        except ConfigError as error:
            raise ConfigError(f"slot[{number}]: {error}", hint=error.hint) from None
        specs.append(SlotSpec(config.of_slot(slot), emulator, ClientObserver()))
    return _serve(specs, config)


def vpcd(config: ClientVpcdConfig) -> int:
    """Be the card in one virtual reader and return the exit status."""
    return _serve([SlotSpec(config, VpcdEmulator(config.reader), ClientObserver())], config)


def _serve(specs: Sequence[SlotSpec], config: DaemonConfig) -> int:
    metrics = ClientMetrics()
    return run_service(lambda: ClientService(specs, metrics=metrics), config=config, metrics=metrics)
