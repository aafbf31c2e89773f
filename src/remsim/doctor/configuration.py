# SPDX-License-Identifier: Apache-2.0
"""Whether the client's configuration can be used, and whether what it names is there."""

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from remsim.config import (
    ClientRunConfig,
    ClientSlotConfig,
    ClientVpcdConfig,
    VpcdSettings,
    load_config,
    parse_settings,
    read_toml,
)
from remsim.core.errors import ConfigError
from remsim.doctor.check import CheckOutcome, CheckResult, Situation
from remsim.emulators import registry

_NAME: Final = "configuration"


def read_situation(
    *, file: Path | None, environ: Mapping[str, str], server: str | None = None, vpcd: str | None = None
) -> Situation:
    """What the client is meant to do: by a file for ``client run`` or ``client vpcd``, or by options alone.

    Mistakes in the file become part of the result. Raises ConfigError for a wrong option.
    """
    if file is None and environ.get("REMSIM_CONFIG"):
        file = Path(environ["REMSIM_CONFIG"])
    given = _of_options(server, vpcd)
    if file is None:
        return given
    try:
        found = _of_file(file, environ, server=server, vpcd=vpcd)
    except ConfigError as error:
        return Situation(given.server, given.slots, str(file), str(error), error.hint)
    return found


def _of_options(server: str | None, vpcd: str | None) -> Situation:
    config = load_config(ClientVpcdConfig, options={"server": server, "vpcd": vpcd}, environ={})
    return Situation(config.server, (_vpcd_slot(config),) if vpcd is not None else ())


def _of_file(file: Path, environ: Mapping[str, str], *, server: str | None, vpcd: str | None) -> Situation:
    if "slot" in read_toml(file):
        options = {"server": server}
        return Situation.of_run(load_config(ClientRunConfig, options=options, environ=environ, file=file), str(file))
    config = load_config(ClientVpcdConfig, options={"server": server, "vpcd": vpcd}, environ=environ, file=file)
    return Situation(config.server, (_vpcd_slot(config),), str(file))


def _vpcd_slot(config: ClientVpcdConfig) -> ClientSlotConfig:
    return ClientSlotConfig(
        client=config.client, emulator="vpcd", settings={"vpcd": str(config.vpcd)}, event_script=config.event_script
    )


async def check_configuration(situation: Situation) -> Sequence[CheckResult]:
    """The file, the emulators that it names, their settings, and the event scripts."""
    if situation.trouble:
        return [CheckResult(_NAME, CheckOutcome.PROBLEM, situation.trouble, situation.trouble_mend)]
    if not situation.source:
        return [CheckResult(_NAME, CheckOutcome.NOTE, "no file is named", "name the client's with --config FILE.toml")]
    troubles = [finding for number, slot in enumerate(situation.slots) for finding in _slot_troubles(number, slot)]
    count = len(situation.slots)
    text = f"{situation.source} describes {count} slot{'' if count == 1 else 's'}"
    return troubles or [CheckResult(_NAME, CheckOutcome.OK, text)]


def _slot_troubles(number: int, slot: ClientSlotConfig) -> list[CheckResult]:
    where = f"slot[{number}]" if slot.client is None else f"slot[{number}] ({slot.client})"
    found = []
    if slot.emulator not in registry.names():
        mend = f"known are {', '.join(registry.names())}"
        found.append(CheckResult(_NAME, CheckOutcome.PROBLEM, f"{where}: there is no emulator {slot.emulator!r}", mend))
    if slot.emulator == "vpcd":
        try:
            parse_settings(VpcdSettings, slot.settings, where=f"{where}.settings")
        except ConfigError as error:
            found.append(CheckResult(_NAME, CheckOutcome.PROBLEM, str(error), error.hint))
    if slot.event_script is not None and (trouble := _script_trouble(slot.event_script)):
        found.append(
            CheckResult(_NAME, CheckOutcome.PROBLEM, f"{where}: {trouble}", "give its full path, and chmod +x it")
        )
    return found


def _script_trouble(command: str) -> str:
    """Why the shell could not run the first word of an event script; empty if it could, or if only it can tell."""
    try:
        first = shlex.split(command)[0]
    except (ValueError, IndexError):
        return f"event_script {command!r} is no command line"
    if "/" not in first or "$" in first:
        return ""
    if not Path(first).is_file():
        return f"event script {first} is not there"
    return "" if os.access(first, os.X_OK) and shutil.which(first) else f"event script {first} is not executable"
