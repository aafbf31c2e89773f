# SPDX-License-Identifier: Apache-2.0
"""The three programs on one stage: a server, a bank with four software cards, and a client whose modem starts.

They run in one process but know nothing of each other: they meet over RSPRO and REST on loopback, as on three hosts.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx2

from remsim.bankd.service import BankdService
from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService
from remsim.config import LOOPBACK_NETWORKS, BankdConfig, ClientConfig, HostPort, ServerConfig
from remsim.core.errors import RemsimError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.demo.scene import Scene
from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.script.player import ScriptPlayer
from remsim.emulators.script.recording import RecordedCommand, parse_recording
from remsim.net.runtime.process import Service
from remsim.net.runtime.tasks import TaskOwner, in_thread
from remsim.pki.system_trust import system_trust
from remsim.server.core.tokens import TokenRole
from remsim.server.service import ServerService
from remsim.server.store.page_files import PageFiles
from remsim.server.store.tokens import create_token

RECORDING: Final = "iot-modem-boot.jsonl"
PROFILE: Final = "iot-modem"
BANK_ID: Final = 1
CARDS: Final = 4
CLIENT: Final = ClientSlot(1, 0)

#: Everything is on this machine; what is not there by then does not come.
DEADLINE_S: Final = 15.0
_ANY_PORT: Final = HostPort("127.0.0.1", 0)


class DemoError(RemsimError):
    """The demonstration did not go as it should."""


class Stage:
    """Server, bankd and client in this process. ``scene`` is kept up to date; use as an async context."""

    def __init__(self) -> None:
        text = resources.files("remsim.demo").joinpath(RECORDING).read_text(encoding="utf-8")
        self._steps = parse_recording(text.splitlines(), name=RECORDING)
        self.scene = Scene(CLIENT, total=sum(isinstance(step, RecordedCommand) for step in self._steps))
        self._emulator = DrivenEmulator()
        self._stack = AsyncExitStack()
        #: A link to the server's page, good once.
        self.page = ""

    async def __aenter__(self) -> "Stage":
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stack.aclose()

    async def _build(self) -> None:
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="remsim-demo-")))
        scene = self.scene
        server = ServerService(
            ServerConfig(
                rspro=_ANY_PORT,
                rest=_ANY_PORT,
                plaintext=LOOPBACK_NETWORKS,
                state_dir=folder / "server",
            )
        )
        await self._run(server)
        config = ServerConfig(state_dir=folder / "server")
        token, record = await in_thread(create_token, config, name="demo", role=TokenRole.ADMIN)
        secret = await in_thread(PageFiles(config.state_dir).add_link, record.token_id)
        self.page = f"http://{server.rest_address}/login#{secret}"
        bankd = BankdService(
            BankdConfig(
                server=server.rspro_address,
                bank_id=BANK_ID,
                slots=CARDS,
                listen=_ANY_PORT,
                plaintext=LOOPBACK_NETWORKS,
                reader="sim",
                sim_profile=PROFILE,
                state_dir=folder / "bankd",
            )
        )
        await self._run(bankd)
        client = ClientService(
            [
                SlotSpec(
                    ClientConfig(server=server.rspro_address, client=CLIENT, plaintext=LOOPBACK_NETWORKS),
                    self._emulator,
                    ClientObserver(),
                )
            ]
        )
        await self._run(client)
        self._client = client
        rest = f"http://{server.rest_address}/api/backend/v1"
        headers = {"Authorization": f"Bearer {token}"}
        client_of_rest = httpx2.AsyncClient(
            base_url=rest, timeout=DEADLINE_S, headers=headers, verify=system_trust(rest)
        )
        self._rest = await self._stack.enter_async_context(client_of_rest)
        scene.server.place = f"port {server.rspro_address.port}, REST {server.rest_address.port}"
        port = bankd.listener.port if bankd.listener is not None else 0
        scene.bankd.title, scene.bankd.place = f"bankd B{BANK_ID}", f"port {port}, {CARDS} cards"
        scene.client.title, scene.client.place = f"client {CLIENT}", "an IoT modem starts"
        scene.cards = tuple(f"software card {number}" for number in range(CARDS))

    async def _run(self, service: Service) -> None:
        self._stack.push_async_callback(service.stop)
        await service.start()
        tasks = await self._stack.enter_async_context(TaskOwner("demo"))
        tasks.vital(service.run(), name=type(service).__name__)
        self._stack.callback(service.request_stop)

    # What happens

    async def wait_for_peers(self) -> None:
        """Wait until the server lists bank and client. Raises DemoError."""
        await self._until(
            lambda: self.scene.bankd.is_up and self.scene.client.is_up, "bankd and client did not connect"
        )

    async def boot(self, bank_slot: BankSlot, *, pace_s: float, on_change: Callable[[], None]) -> None:
        """Map the client to ``bank_slot``, let the modem start, and take the mapping away again. Raises RemsimError.

        ``pace_s`` is the time that the modem thinks between two commands; without it nobody could read along.
        """
        scene = self.scene
        scene.bank_slot, scene.atr = bank_slot, b""
        numbers = {
            "bank": {"bankId": bank_slot.bank_id, "slotNr": bank_slot.slot_nr},
            "client": {"clientId": CLIENT.client_id, "slotNr": CLIENT.slot_nr},
        }
        response = await self._rest.post("/slotmaps", json=numbers)
        if response.status_code != httpx2.codes.CREATED:
            raise DemoError(f"the server refused the mapping: {response.text}")
        scene.atr = await self._emulator.wait_card(DEADLINE_S)
        await self.look()
        scene.start_boot()

        async def after(step: RecordedCommand, tpdu: bytes, answer: bytes, duration_s: float) -> None:
            sw, length = int.from_bytes(answer[-2:], "big"), len(answer) - 2
            is_expected = step.sw in (None, sw) and step.length in (None, length)
            scene.add_command(tpdu, answer, duration_s, is_expected=is_expected)
            on_change()
            await asyncio.sleep(pace_s)

        player = ScriptPlayer(self._emulator, self._steps, card_wait_s=DEADLINE_S, after_command=after)
        await player.run()

    async def unmap(self, bank_slot: BankSlot) -> None:
        """Take the card away from the client and wait until it is gone. Raises DemoError."""
        await self._rest.delete(f"/slotmaps/{bank_slot.bank_id << 16 | bank_slot.slot_nr}")
        await self._until(lambda: self._emulator.atr is None, "the card was not taken away")
        self.scene.bank_slot, self.scene.mapping_state = None, "none"

    async def look(self) -> None:
        """Ask the server how things stand."""
        scene = self.scene
        banks = (await self._rest.get("/banks")).json()["banks"]
        clients = (await self._rest.get("/clients")).json()["clients"]
        mappings = (await self._rest.get("/slotmaps")).json()["slotmaps"]
        scene.mapping_state = mappings[0]["state"] if mappings else "none"
        scene.server.is_up = True
        scene.server.state = f"{len(banks)} bank, {len(clients)} client"
        scene.bankd.is_up = any(bank["bankId"] == BANK_ID for bank in banks)
        scene.bankd.state = banks[0]["state"] if banks else "connecting"
        scene.client.is_up = any(client["peer"] == str(CLIENT) for client in clients)
        scene.client.state = self._client.slots[0].coordinator.state.value if clients else "connecting"

    async def _until(self, is_so: Callable[[], bool], complaint: str) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    await self.look()
                    if is_so():
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise DemoError(f"{complaint} within {DEADLINE_S:g} s") from None
