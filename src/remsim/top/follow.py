# SPDX-License-Identifier: Apache-2.0
"""Keeps an overview like its server: lists first, then what changes, and the lists again after each break."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.net.runtime.tasks import TaskOwner
from remsim.rest import AsyncRest, RestApiError, calls
from remsim.rest.client import EventsLostError
from remsim.rest.models import BankSlotModel, EventModel
from remsim.rest.warnings import list_warnings
from remsim.top.overview import Overview

#: Between two attempts to reach the server.
RETRY_S: Final = 2.0
#: What changes is asked for at most so often.
ROUND_S: Final = 0.25
#: More slots than this are cheaper to get as lists.
FEW: Final = 16
#: What no event tells, such as software of peers, is at most so old.
ANEW_S: Final = 60.0
_OF_WARNINGS: Final = frozenset({"warning", "warning_cleared"})


class Follower:
    """Follows one server until it is cancelled. Raises RestApiError where the server refuses at the first attempt."""

    def __init__(
        self,
        overview: Overview,
        connect: Callable[[], AsyncRest],
        on_change: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        """``connect`` gives a client that is not open yet; ``on_change`` is called when there is something to show."""
        self._overview = overview
        self._connect = connect
        self._on_change = on_change
        self._now = now
        self._is_known = False
        # Slots that have changed; None: everything may have.
        self._changed: set[str] | None = None
        self._are_warnings_old = True
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Follow."""
        while True:
            try:
                async with self._connect() as rest:
                    await self._follow(rest)
                reason = "the server has ended the stream"
            except RestApiError as error:
                if error.status is not None and not self._is_known:
                    raise
                reason = str(error)
            self._overview.lose(reason, self._now())
            self._on_change()
            await asyncio.sleep(RETRY_S)

    async def _follow(self, rest: AsyncRest) -> None:
        self._changed = None
        opened = asyncio.Event()
        failures: list[Exception] = []
        try:
            async with TaskOwner("top") as tasks:
                tasks.vital(self._keep(rest, opened), name="keep")
                await self._listen(rest, opened.set)
                tasks.cancel()
        except* RestApiError as found:
            failures.extend(found.exceptions)
        if failures:
            # Both fail at once when the server goes; one reason is enough.
            raise failures[0]

    async def _listen(self, rest: AsyncRest, on_open: Callable[[], None]) -> None:
        last: str | None = None
        while True:
            try:
                async with aclosing(rest.events(last, on_open=on_open)) as events:
                    async for event in events:
                        last = event.id
                        self._note(event)
                return
            except EventsLostError as error:
                last = error.last
                self._changed = None
                self._wake.set()

    def _note(self, event: EventModel) -> None:
        self._overview.add_event(event)
        if event.kind in _OF_WARNINGS:
            self._are_warnings_old = True
            self._wake.set()
            return
        if self._changed is not None:
            where = {each for each in (event.bank_slot, event.client_slot) if each}
            if where:
                self._changed |= where
            else:
                self._changed = None
        self._wake.set()

    async def _keep(self, rest: AsyncRest, opened: asyncio.Event) -> None:
        # What is listed after the stream was opened is not older than what the stream tells.
        await opened.wait()
        while True:
            self._wake.clear()
            changed, self._changed = self._changed, set()
            if changed is None or len(changed) > FEW:
                await self._get_all(rest)
            else:
                for name in changed:
                    await self._get_one(rest, name)
                if self._are_warnings_old:
                    await self._get_warnings(rest)
            self._is_known = True
            self._on_change()
            try:
                async with asyncio.timeout(ANEW_S):
                    await self._wake.wait()
            except TimeoutError:
                self._changed = None
            await asyncio.sleep(ROUND_S)

    async def _get_all(self, rest: AsyncRest) -> None:
        banks = [bank async for bank in rest.items(calls.list_banks())]
        slots: list[BankSlotModel] = []
        for bank in banks:
            slots += [slot async for slot in rest.items(calls.list_bank_slots(bank.bank))]
        clients = [client async for client in rest.items(calls.list_clients())]
        self._overview.replace(banks, slots, clients, self._now())
        await self._get_warnings(rest)

    async def _get_warnings(self, rest: AsyncRest) -> None:
        self._are_warnings_old = False
        try:
            warnings = [warning async for warning in rest.items(list_warnings())]
        except RestApiError as error:
            if error.status != 404:
                raise
            # An older server has none.
            warnings = []
        self._overview.warn(warnings, self._now())

    async def _get_one(self, rest: AsyncRest, name: str) -> None:
        try:
            if name.startswith("B"):
                slot = await rest.do(calls.show_bank_slot(str(BankSlot.parse(name))))
                self._overview.put_slot(slot, self._now())
            else:
                client = await rest.do(calls.show_client_slot(str(ClientSlot.parse(name))))
                self._overview.put_client(client, self._now())
        except RestApiError as error:
            if error.status != 404:
                raise
            # It is gone: the lists tell what remains.
            self._changed = None
            self._wake.set()
