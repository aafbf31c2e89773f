# SPDX-License-Identifier: Apache-2.0
"""Server, bank of software cards and client in one loop, meeting over loopback as on three hosts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import httpx2

from remsim.bankd.metrics import BankdMetrics
from remsim.bankd.service import BankdService
from remsim.client.metrics import ClientMetrics
from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService
from remsim.config import BankdConfig, ClientConfig, HostPort, ServerConfig
from remsim.core.ids import ClientSlot
from remsim.emulators.base import CardEmulator
from remsim.net.runtime.process import Service
from remsim.pki.system_trust import system_trust
from remsim.server.metrics import ServerMetrics
from remsim.server.service import ServerService
from tests.doubles.cutting_proxy import CuttingProxy

_ANY_PORT: Final = HostPort("127.0.0.1", 0)
_CLIENT: Final = 7
_BANK: Final = 1


class Suite:
    """One client slot for each emulator, mapped to a software card of its own; ``async with`` runs it."""

    def __init__(
        self,
        folder: Path,
        emulators: Sequence[CardEmulator],
        *,
        profile: str,
        proxy: CuttingProxy | None = None,
        resume: Literal["proven", "always", "off"] = "proven",
        card_time_ms: float = 0.0,
        ahead: Literal["on", "off"] = "off",
        observer: ClientObserver | None = None,
        bankd: Mapping[str, object] | None = None,
        client: Mapping[str, object] | None = None,
        reread_bankd: Callable[[], BankdConfig] | None = None,
        reread_client: Callable[[], Sequence[bool]] | None = None,
        gsmtap: HostPort | None = None,
    ) -> None:
        """``proxy`` stands between clients and bankd. ``bankd``, ``client``: more of their settings.

        ``reread_…``: as for the services.
        """
        self._bankd_settings, self._client_settings = dict(bankd or {}), dict(client or {})
        self._reread_bankd, self._reread_client = reread_bankd, reread_client
        self._folder = folder
        self._proxy = proxy
        self._resume = resume
        self._card_time_ms = card_time_ms
        self._ahead = ahead
        self._observer = observer or ClientObserver()
        self._gsmtap = gsmtap
        self._emulators = emulators
        self._profile = profile
        self._stack = AsyncExitStack()
        self.metrics = ClientMetrics()
        self.server_metrics, self.bankd_metrics = ServerMetrics(), BankdMetrics()

    async def __aenter__(self) -> Self:
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _build(self) -> None:
        self.server = server = ServerService(
            ServerConfig(
                rspro=_ANY_PORT,
                rest=_ANY_PORT,
                rest_open=True,
                plaintext=True,  # type: ignore[arg-type]  # as in a file
                state_dir=self._folder / "server",
            ),
            self.server_metrics,
        )
        await self._run(server)
        self.bankd = bankd = BankdService(
            BankdConfig(
                advertise=() if self._proxy is None else (self._proxy.address,),
                resume=self._resume,
                card_time_ms=self._card_time_ms,
                ahead=self._ahead,
                server=server.rspro_address,
                bank_id=_BANK,
                slots=len(self._emulators),
                listen=_ANY_PORT,
                reader="sim",
                plaintext=True,  # type: ignore[arg-type]  # as in a file
                sim_profile=self._profile,
                state_dir=self._folder / "bankd",
                **self._bankd_settings,  # type: ignore[arg-type]  # as in a file
            ),
            metrics=self.bankd_metrics,
            reread=self._reread_bankd,
        )
        await self._run(bankd)
        if self._proxy is not None and bankd.listener is not None:
            self._proxy.target = HostPort("127.0.0.1", bankd.listener.port)
        specs = [
            SlotSpec(
                ClientConfig(
                    server=server.rspro_address,
                    client=ClientSlot(_CLIENT, number),
                    gsmtap=self._gsmtap,
                    resume=self._resume,
                    ahead=self._ahead,
                    plaintext=True,  # type: ignore[arg-type]  # as in a file
                    **self._client_settings,  # type: ignore[arg-type]  # as in a file
                ),
                emulator,
                self._observer,
            )
            for number, emulator in enumerate(self._emulators)
        ]
        self.rest = f"http://{server.rest_address}"
        await self._map_slots()
        self.client = ClientService(specs, metrics=self.metrics, reread=self._reread_client)
        await self._run(self.client)

    async def _map_slots(self) -> None:
        rest = f"{self.rest}/api/backend/v1"
        async with httpx2.AsyncClient(base_url=rest, timeout=20.0, verify=system_trust(rest)) as client:
            for number in range(len(self._emulators)):
                body = {
                    "bank": {"bankId": _BANK, "slotNr": number},
                    "client": {"clientId": _CLIENT, "slotNr": number},
                }
                response = await client.post("/slotmaps", json=body)
                assert response.status_code == httpx2.codes.CREATED, response.text

    async def _run(self, service: Service) -> None:
        self._stack.push_async_callback(service.stop)
        await service.start()
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        group.create_task(service.run(), name=type(service).__name__)
        self._stack.callback(service.request_stop)

    def metric(self, name: str, slot: int = 0, **labels: str) -> float | None:
        """One of the client's metrics."""
        labels["client_slot"] = f"C{_CLIENT}:{slot}"
        return self.metrics.registry.get_sample_value(f"remsim_client_{name}", labels)
