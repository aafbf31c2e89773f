# SPDX-License-Identifier: Apache-2.0
"""Whether the virtual readers that the client's slots are meant for are there.

To connect to one means to insert a card, so on this host the kernel's list of listening sockets is read instead.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from remsim.config import HostPort, VpcdSettings, parse_settings
from remsim.core.errors import ConfigError
from remsim.core.finding import Finding, Outcome
from remsim.doctor.check import Situation

#: proc(5): the state of a socket that listens.
_LISTEN: Final = "0A"
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
#: Where Debian's package vsmartcard-vpcd tells pcscd about its driver.
_DRIVER: Final = Path("/etc/reader.conf.d/vpcd")
_CONNECT_DEADLINE_S: Final = 5.0


def listening_ports(table: str) -> set[int]:
    """The ports on which somebody listens, from the text of /proc/net/tcp."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 3 and row[3] == _LISTEN}


async def check_vpcd(situation: Situation) -> Sequence[Finding]:
    """One finding for each slot in a virtual reader; none if there is no such slot."""
    found = []
    for slot in situation.slots_with("vpcd"):
        try:
            settings = parse_settings(VpcdSettings, slot.settings, where="settings")
        except ConfigError:
            # The configuration's own check has told.
            continue
        found.append(await look_for_vpcd(settings.vpcd))
    return found


async def look_for_vpcd(address: HostPort, *, driver: Path = _DRIVER, tables: Sequence[Path] = _TABLES) -> Finding:
    """Whether vpcd waits for a card at ``address``."""
    is_there = _is_listening(address.port, tables) if address.is_loopback else None
    if is_there is None:
        is_there = await _takes_connections(address)
    if is_there:
        return Finding("vpcd", Outcome.OK, f"a virtual reader waits at {address}")
    if address.is_loopback and not _is_installed(driver):
        mend = "apt-get install vsmartcard-vpcd, then systemctl restart pcscd"
        return Finding("vpcd", Outcome.PROBLEM, f"no virtual reader at {address}, and vpcd is not installed", mend)
    mend = "start pcscd (systemctl start pcscd), and see that it does not end by itself; is this the reader's port?"
    return Finding("vpcd", Outcome.PROBLEM, f"no virtual reader waits at {address}", mend)


def _is_installed(driver: Path) -> bool:
    return driver.is_file()


def _is_listening(port: int, tables: Sequence[Path]) -> bool | None:
    """None where the kernel has no such list."""
    known = [path.read_text(encoding="ascii") for path in tables if path.is_file()]
    return any(port in listening_ports(table) for table in known) if known else None


async def _takes_connections(address: HostPort) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_DEADLINE_S):
            _, writer = await asyncio.open_connection(address.host, address.port)
            writer.close()
            await writer.wait_closed()
    except OSError:
        return False
    return True
