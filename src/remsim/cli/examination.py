# SPDX-License-Identifier: Apache-2.0
"""What ``remsim doctor`` does: finds the programs of this host, examines each, prints what is found."""

import asyncio
import json as json_module
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from remsim.cli.rest import open_rest
from remsim.config import REST_PORT, CtlConfig, HostPort, ServerConfig, load_config
from remsim.core.errors import RemsimError
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Role
from remsim.core.text import escape
from remsim.doctor.check import ROLE_CHECKS, RestCalls, Situation, examine
from remsim.doctor.configuration import Given, read_situation
from remsim.doctor.links import has_certificate
from remsim.doctor.roles import PROGRAMS, Place, find_places, place_of
from remsim.logs import setup_logging
from remsim.pki.credentials import Credentials

_STYLES: Final = {Outcome.OK: "green", Outcome.NOTE: "yellow", Outcome.PROBLEM: "bold red"}
_ROLES: Final = {word: role for role, word in PROGRAMS.items()}
#: Addresses to listen on that nobody can call.
_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})
#: What is the same for each program of a host is looked at once.
_ONCE: Final = "clock"


def examine_host(given: Given, *, role: str | None, config: Path | None, rest: str | None, is_json: bool) -> int:
    """Examine what ``role``, or each program that is configured here, needs; return the exit status."""
    setup_logging(level="warning", log_format="text")
    places = _places(role, config, given)
    situations = [_situation(place, given, rest) for place in places]
    report = _Report(is_json=is_json)
    for place in places:
        report.add(place.role, Finding("role", Outcome.OK, f"{PROGRAMS[place.role]} ({place.why})"))
    asyncio.run(_examine(situations, report))
    if is_json:
        print(json_module.dumps({"ok": not report.is_ill, "findings": report.rows}, indent=2))
    return int(report.is_ill)


def _places(role: str | None, config: Path | None, given: Given) -> list[Place]:
    if role is not None:
        return [place_of(_ROLES[role], os.environ, file=config)]
    if config is None and (given.server is not None or given.vpcd is not None):
        # Only a client or a bank has a server, and only a client a virtual reader.
        return [place_of(Role.CLIENT, os.environ)]
    if config is None and (folder := given.tls) is not None and (holder := _holder(Path(folder))) is not None:
        return [place_of(holder, os.environ)]
    return find_places(os.environ, file=config)


def _holder(folder: Path) -> Role | None:
    """Whose certificate is there; None if nobody can tell."""
    try:
        return Credentials(folder).identity().role
    except (RemsimError, OSError):
        return None


def _situation(place: Place, given: Given, rest: str | None) -> Situation:
    state = str(place.state) if given.state is None and place.state is not None else given.state
    situation = read_situation(
        file=place.config, environ=os.environ, given=replace(given, state=state), role=place.role
    )
    return replace(situation, open_rest=_rest_of(situation, rest))


def _rest_of(situation: Situation, rest: str | None) -> Callable[[], RestCalls] | None:
    """How to ask the server's REST interface; None without a token."""
    if not os.environ.get("REMSIM_TOKEN"):
        return None
    authority: Path | None = None
    if situation.tls_dir is not None:
        credentials = Credentials(situation.tls_dir)
        authority = credentials.authority_file if os.access(credentials.authority_file, os.R_OK) else None
    if situation.server_config is not None:
        # The variable is the server's own then, and part of its configuration.
        base = rest or _own_rest(situation, situation.server_config)
    else:
        scheme = "http" if authority is None else "https"
        base = rest or os.environ.get("REMSIM_REST") or f"{scheme}://{situation.server.with_port(REST_PORT)}"
    options = {"rest": base, "authority": None if authority is None else str(authority)}

    def open_it() -> RestCalls:
        plain = {name: value for name, value in os.environ.items() if name != "REMSIM_CONFIG"}
        return open_rest(load_config(CtlConfig, options=options, environ=plain), plain, program="doctor")

    return open_it


def _own_rest(situation: Situation, config: ServerConfig) -> str:
    """URL at which the server of this host serves REST, by its configuration."""
    is_protected = has_certificate(situation) and not config.rest_open
    address = config.rest_address(is_protected=is_protected)
    if address.host in _EVERYWHERE:
        address = HostPort("127.0.0.1", address.port)
    return f"{'https' if is_protected else 'http'}://{address}"


async def _examine(situations: list[Situation], report: "_Report") -> None:
    for number, situation in enumerate(situations):
        checks = dict(ROLE_CHECKS[situation.role])
        if number:
            del checks[_ONCE]
        async for finding in examine(situation, checks):
            report.add(situation.role, finding)


class _Report:
    """Prints findings as they come, or keeps them for JSON."""

    def __init__(self, *, is_json: bool) -> None:
        self.rows: list[dict[str, str]] = []
        self.is_ill = False
        self._console = None if is_json else Console(file=sys.stdout, highlight=False, soft_wrap=True)

    def add(self, role: Role, finding: Finding) -> None:
        """Take one finding."""
        self.is_ill = self.is_ill or finding.outcome is Outcome.PROBLEM
        self.rows.append(
            {
                "role": PROGRAMS[role],
                "check": finding.check,
                "outcome": finding.outcome.value,
                "text": finding.text,
                "mend": finding.mend,
            }
        )
        if self._console is not None:
            _show(self._console, finding)


def _show(console: Console, finding: Finding) -> None:
    line = Text(f"{finding.outcome.value:<8}", style=_STYLES[finding.outcome])
    # What other programs say of themselves may stand in it.
    line.append(f"{finding.check:<14}", style="bold").append(escape(finding.text), style="not bold default")
    console.print(line)
    if finding.mend:
        console.print(Text(f"{'':22}→ {escape(finding.mend)}"))
