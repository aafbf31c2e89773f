# SPDX-License-Identifier: Apache-2.0
"""Looks regularly at the bank's host, as ``remsim doctor`` does once: its pcscd, its readers, the room on its disk.

What judges is imported with the first look, so that it does not delay the start.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from remsim.bankd.reader_choice import PCSC, PCSCD, choose_without_asking
from remsim.bankd.stuck import StuckReaders
from remsim.config import BankdConfig
from remsim.core import host_codes
from remsim.core.disk_room import judge_room, room_text
from remsim.core.finding import Outcome
from remsim.core.text import counted
from remsim.net.runtime.tasks import in_thread
from remsim.wire.messages.health import HostCondition

if TYPE_CHECKING:
    from remsim.bankd.host.pcscd import PcscLite

#: Until the first look: pcscd may just be starting, too.
FIRST_S: Final = 5.0
#: Between two looks.
INTERVAL_S: Final = 30.0


class HostWatch:
    """Examines the host regularly. ``run`` is a task; ``on_found`` is called after each look with all that is wrong.

    ``has_own_readers``: the readers are not those of pcscd, whatever the settings say.
    """

    def __init__(
        self,
        config: BankdConfig,
        *,
        stuck: StuckReaders,
        on_found: Callable[[Sequence[HostCondition]], None],
        has_own_readers: bool = False,
    ) -> None:
        self._config = config
        self._stuck = stuck
        self._on_found = on_found
        choice = choose_without_asking(config, has_pyscard=find_spec("smartcard") is not None)
        self._uses_pcscd = not has_own_readers and (choice is None or choice.reader in (PCSC, PCSCD))
        # What the installed pcscd says of itself, which costs a process.
        self._lite: PcscLite | None = None

    async def run(self) -> None:
        """Look, for ever."""
        await asyncio.sleep(FIRST_S)
        while True:
            self._on_found(await self.look())
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> list[HostCondition]:
        """All that is wrong. Never raises, and ends within seconds."""
        found = [*await self._disk(), *self._stuck_readers()]
        return [*found, *await self._pcscd()] if self._uses_pcscd else found

    async def _disk(self) -> list[HostCondition]:
        place = self._config.state_dir
        try:
            usage = await in_thread(shutil.disk_usage, place)
        except OSError as error:
            text = f"{place} cannot be looked at: {error.strerror}"
            return [HostCondition(host_codes.DISK, is_error=True, detail=text)]
        severity = judge_room(usage.free)
        if severity is None:
            return []
        return [HostCondition(host_codes.DISK, severity == "error", room_text(place, usage.free, usage.total))]

    def _stuck_readers(self) -> list[HostCondition]:
        names = self._stuck.names
        if not names:
            return []
        text = f"calls at {counted(len(names), 'reader')} do not return: {', '.join(names)}"
        return [HostCondition(host_codes.READERS_STUCK, is_error=True, detail=text)]

    async def _pcscd(self) -> list[HostCondition]:
        from remsim.bankd.host.judging import judge_host, look_at_host

        facts = await look_at_host(os.environ, self._config, lite=self._lite)
        self._lite = facts.lite
        return [
            HostCondition(found.code, found.outcome is Outcome.PROBLEM, found.text)
            for found in judge_host(facts, self._config, self._config.slot)
            if found.code in host_codes.TOLD
        ]
