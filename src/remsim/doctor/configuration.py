# SPDX-License-Identifier: Apache-2.0
"""What each program of this host is configured to do, whether that can be used, and whether what it names is there.

Settings are found as the programs find them: file, environment, defaults. Without a file, that of the packaged service
counts, if there is one.
"""

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from remsim.config import (
    BankdConfig,
    ClientRunConfig,
    ClientSlotConfig,
    ClientVpcdConfig,
    DaemonConfig,
    HostPort,
    ServerConfig,
    VpcdSettings,
    load_config,
    parse_settings,
    read_toml,
)
from remsim.core.errors import ConfigError
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Role
from remsim.core.values import dataclass
from remsim.doctor.check import Situation
from remsim.doctor.owner import not_looked_at
from remsim.emulators import registry

_NAME: Final = "configuration"
_PROGRAMS: Final = {Role.CLIENT: "client", Role.BANK: "bankd", Role.SERVER: "server"}


@dataclass(frozen=True, slots=True)
class Given:
    """What was said on the command line."""

    server: str | None = None
    vpcd: str | None = None
    tls: str | None = None
    state: str | None = None


_NOTHING: Final = Given()


def read_situation(
    *, file: Path | None, environ: Mapping[str, str], given: Given = _NOTHING, role: Role = Role.CLIENT
) -> Situation:
    """What the program of ``role`` is meant to do: by its file, by the environment, or by options alone.

    Mistakes in the file become part of the result. Raises ConfigError for a wrong option.
    """
    read = {Role.CLIENT: _client, Role.BANK: _bankd, Role.SERVER: _server}[role]
    if file is None and environ.get("REMSIM_CONFIG"):
        file = Path(environ["REMSIM_CONFIG"])
    plain = {name: value for name, value in environ.items() if name != "REMSIM_CONFIG"}
    if given.state is not None:
        plain["STATE_DIRECTORY"] = given.state
    if file is None:
        return read(None, plain, given)
    try:
        return read(file, plain, given)
    except ConfigError as error:
        mistake = error
    try:
        fallback = read(None, plain, given)
    except ConfigError as error:
        raise error from None
    return Situation(
        fallback.server,
        fallback.slots,
        str(file),
        str(mistake),
        mistake.hint,
        role=role,
        tls_dir=fallback.tls_dir,
        is_tls_demanded=fallback.is_tls_demanded,
        is_plain_allowed=fallback.is_plain_allowed,
    )


def _client(file: Path | None, environ: Mapping[str, str], given: Given) -> Situation:
    options = {"server": given.server, "tls_dir": given.tls}
    if file is not None and "slot" in read_toml(file):
        run = load_config(ClientRunConfig, options=options, environ=environ, file=file)
        return _situation(run, given, Role.CLIENT, run.server, run.slot, file)
    config = load_config(ClientVpcdConfig, options=options | {"vpcd": given.vpcd}, environ=environ, file=file)
    is_vpcd = given.vpcd is not None or file is not None
    slots = (_vpcd_slot(config),) if is_vpcd else ()
    return _situation(config, given, Role.CLIENT, config.server, slots, file)


def _bankd(file: Path | None, environ: Mapping[str, str], given: Given) -> Situation:
    options = {"server": given.server, "tls_dir": given.tls, "state_dir": given.state}
    config = load_config(BankdConfig, options=options, environ=environ, file=file)
    return _situation(config, given, Role.BANK, config.server, (), file)


def _server(file: Path | None, environ: Mapping[str, str], given: Given) -> Situation:
    options = {"tls_dir": given.tls, "state_dir": given.state}
    config = load_config(ServerConfig, options=options, environ=environ, file=file)
    return _situation(config, given, Role.SERVER, config.rspro, (), file)


def _situation(
    config: DaemonConfig,
    given: Given,
    role: Role,
    server: HostPort,
    slots: tuple[ClientSlotConfig, ...],
    file: Path | None,
) -> Situation:
    return Situation(
        server,
        slots,
        "" if file is None else str(file),
        role=role,
        tls_dir=config.credentials_dir,
        is_tls_demanded=given.tls is not None,
        is_plain_allowed=config.plaintext is not None,
        bankd=config if isinstance(config, BankdConfig) else None,
        server_config=config if isinstance(config, ServerConfig) else None,
    )


def _vpcd_slot(config: ClientVpcdConfig) -> ClientSlotConfig:
    return ClientSlotConfig(
        client=config.client, emulator="vpcd", settings={"vpcd": str(config.vpcd)}, event_script=config.event_script
    )


async def check_configuration(situation: Situation) -> Sequence[Finding]:
    """The file; for a client, the emulators that it names, their settings, and the event scripts."""
    if situation.trouble:
        file = Path(situation.source)
        if os.access(file, os.F_OK) and not os.access(file, os.R_OK):
            # A service manager may hand its program a file that nobody else can read.
            return [not_looked_at(file, check=_NAME)]
        return [Finding(_NAME, Outcome.PROBLEM, situation.trouble, situation.trouble_mend)]
    if not situation.source:
        program = _PROGRAMS[situation.role]
        text = "no file is named: defaults and the environment count"
        return [Finding(_NAME, Outcome.NOTE, text, f"name the {program}'s with --config FILE.toml")]
    if situation.bankd is not None:
        bank, slots = situation.bankd.bank_id, situation.bankd.slots
        return [Finding(_NAME, Outcome.OK, f"{situation.source} describes bank {bank} with {slots} slots")]
    if situation.server_config is not None:
        return [Finding(_NAME, Outcome.OK, f"{situation.source} describes a server")]
    troubles = [finding for number, slot in enumerate(situation.slots) for finding in _slot_troubles(number, slot)]
    count = len(situation.slots)
    text = f"{situation.source} describes {count} slot{'' if count == 1 else 's'}"
    return troubles or [Finding(_NAME, Outcome.OK, text)]


def _slot_troubles(number: int, slot: ClientSlotConfig) -> list[Finding]:
    where = f"slot[{number}]" if slot.client is None else f"slot[{number}] ({slot.client})"
    found = []
    if slot.emulator not in registry.names():
        mend = f"known are {', '.join(registry.names())}"
        found.append(Finding(_NAME, Outcome.PROBLEM, f"{where}: there is no emulator {slot.emulator!r}", mend))
    if slot.emulator == "vpcd":
        try:
            parse_settings(VpcdSettings, slot.settings, where=f"{where}.settings")
        except ConfigError as error:
            found.append(Finding(_NAME, Outcome.PROBLEM, str(error), error.hint))
    if slot.event_script is not None and (trouble := _script_trouble(slot.event_script)):
        found.append(Finding(_NAME, Outcome.PROBLEM, f"{where}: {trouble}", "give its full path, and chmod +x it"))
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
