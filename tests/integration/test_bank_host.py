# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a bank's host, from its pcscd, of version 4:4, to the warnings of the server: two programs."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from remsim.bankd import host_watch
from remsim.bankd.metrics import BankdMetrics
from remsim.bankd.service import BankdService
from remsim.config import BankdConfig, ServerConfig
from remsim.core import host_codes
from remsim.server import warning_watch
from remsim.server.core.bank_hosts import MEANINGS
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from tests.doubles.scripted_pcscd import scripted_pcscd
from tests.doubles.server_rig import LOOPBACK, rest_client, running_server
from tests.doubles.tls_rig import running

V2 = "/api/v2"
PATIENCE_S = 30
#: No card in it.
EMPTY = 2


def readers(count: int) -> list[tuple[str, int]]:
    return [(f"Reader {number:02d} 00", EMPTY) for number in range(count)]


async def token(state: Path, name: str, banks: frozenset[int] | None) -> str:
    """That of a viewer of these banks."""
    scope = Scope(banks, None)
    config = ServerConfig(state_dir=state)
    text, _ = await asyncio.to_thread(create_token, config, name=name, role=TokenRole.VIEWER, scope=scope)
    return text


async def warned(server: ServerService, *, is_there: bool) -> None:
    """Wait until the warning about pcscd is there, or gone."""
    runtime = server.runtime
    assert runtime is not None

    def look() -> bool | None:
        return True if (runtime.warnings.get("pcscd", "B1") is not None) is is_there else None

    assert await runtime.changes.until(look, PATIENCE_S)


async def test_pcscd_that_lists_too_few_readers_is_a_warning_until_that_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_watch, "FIRST_S", 0.05)
    monkeypatch.setattr(host_watch, "INTERVAL_S", 0.05)
    monkeypatch.setattr(warning_watch, "INTERVAL_S", 0.05)
    socket = tmp_path / "pcscd.comm"
    async with AsyncExitStack() as stack:
        pcscd = await stack.enter_async_context(scripted_pcscd(socket, *readers(16)))
        server = await stack.enter_async_context(running_server(tmp_path / "server", rest_open=False))
        values = {"server": server.rspro_address, "listen": LOOPBACK, "slots": 16, "plaintext": True}
        config = BankdConfig.model_validate(
            values | {"state_dir": tmp_path / "bank", "reader": "pcscd", "pcscd": [{"socket": str(socket)}]}
        )
        bank = await stack.enter_async_context(AsyncExitStack())
        metrics = BankdMetrics()
        await bank.enter_async_context(running(BankdService(config, metrics=metrics)))
        await warned(server, is_there=True)

        def shown() -> dict[str, float | None]:
            name = "remsim_bankd_host_conditions"
            codes = (host_codes.PCSCD_TOO_OLD, host_codes.DISK)
            return {code: metrics.registry.get_sample_value(name, {"code": code}) for code in codes}

        assert shown() == {"pcscd-too-old": 1.0, "disk": 0.0}
        seen: dict[frozenset[int] | None, list[dict[str, object]]] = {}
        for banks in (None, frozenset({1}), frozenset({2})):
            text = await token(tmp_path / "server", f"viewer-{len(seen)}", banks)
            rest = await stack.enter_async_context(rest_client(server, over_socket=False, token=text))
            seen[banks] = (await rest.get(f"{V2}/warnings")).json()["items"]
        for banks in (None, frozenset({1})):
            (found,) = [one for one in seen[banks] if one["kind"] == "pcscd"]
            assert (found["about"], found["severity"]) == ("B1", "warning")
            assert "lists 16 readers at most" in str(found["text"])
            assert found["hint"] == MEANINGS[host_codes.PCSCD_TOO_OLD].hint
        assert seen[frozenset({2})] == []
        pcscd.change(*readers(4))
        await warned(server, is_there=False)
        assert shown() == {"pcscd-too-old": 0.0, "disk": 0.0}
        pcscd.change(*readers(16))
        await warned(server, is_there=True)
        # A bank that leaves is told of by other warnings.
        await bank.aclose()
        await warned(server, is_there=False)
