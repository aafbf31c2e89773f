# SPDX-License-Identifier: Apache-2.0
"""Programs of another make with strict decoders and exact sequences: our three programs, on sockets, as they come.

Each peer here is made by hand from the reference. It sends what the C programs send, decodes with a strict decoder of
the classic schema, and fails on anything else: another message, one more, one in another place.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeVar

import pytest

from remsim.client.metrics import ClientMetrics
from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService
from remsim.config import ClientConfig, HostPort
from remsim.core.ids import BankSlot, ClientSlot
from remsim.emulators.driven import DrivenEmulator
from remsim.wire import ipa
from remsim.wire.messages import rspro
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.rspro import (
    ComponentIdentity,
    ComponentType,
    IpPort,
    Message,
    ResultCode,
    RsproPdu,
    SlotPhysStatus,
)
from tests.doubles import strict_asn1, strict_json
from tests.doubles.bank_world import BankWorld
from tests.doubles.server_rig import V1, mapping, rest_client, running_server

PATIENCE_S: Final = 20.0
PING, PONG, ID_ACK = bytes.fromhex("0001fe00"), bytes.fromhex("0001fe01"), bytes.fromhex("0001fe06")
#: Asks for unit name and unit id, and what a C program answers: a MAC of zeros, and 0/0/0.
ID_GET = bytes.fromhex("0005fe0401010108")
ID_RESP = bytes.fromhex("001ffe05 0013 01") + b"00-00-00-00-00-00\0" + bytes.fromhex("0007 08") + b"0/0/0\0"
CLIENT, BANK = ClientSlot(7, 0), BankSlot(1, 0)
ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
READ = bytes.fromhex("00b0000001")


M = TypeVar("M", bound=Message)


class StrictPeer:
    """One end of one connection. PINGs are answered on the way, PONGs passed over unless one is waited for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, role: ComponentType) -> None:
        self._reader, self._writer = reader, writer
        name = {ComponentType.REMSIM_SERVER: "server", ComponentType.REMSIM_BANKD: "bankd"}.get(role, "client")
        self.identity = ComponentIdentity(role, "other", f"other-{name}", "1.1.3")

    @classmethod
    async def dial(cls, port: int, role: ComponentType) -> "StrictPeer":
        """Connect, say PING as the C programs do, and ID_ACK, and wait until both are answered."""
        peer = cls(*await asyncio.open_connection("127.0.0.1", port), role)
        peer.write(ID_ACK + PING)
        await peer.frame(ID_ACK)
        await peer.frame(PONG)
        return peer

    def write(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(raw)

    def send(self, message: Message, tag: int = 0) -> None:
        """Send a message; a classic peer's tag is 0."""
        self.write(ipa.encode_rspro(encode_pdu(RsproPdu(tag, message))))

    async def _next(self) -> bytes | None:
        async with asyncio.timeout(PATIENCE_S):
            try:
                head = await self._reader.readexactly(3)
                return head + await self._reader.readexactly(int.from_bytes(head[:2], "big"))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None

    async def frame(self, expected: bytes) -> None:
        """The next frame but PINGs must be this one."""
        while (frame := await self._next()) == PING:
            self.write(PONG)
        assert frame == expected, frame

    async def ping_comes(self) -> None:
        """The next frame is a PING, which is answered."""
        assert await self._next() == PING
        self.write(PONG)

    async def expect(self, kind: type[M]) -> M:
        """The next message, which must be of this kind and decode strictly."""
        while (frame := await self._next()) in (PING, PONG):
            if frame == PING:
                self.write(PONG)
        assert frame is not None, f"closed instead of {kind.__name__}"
        assert list(strict_asn1.frames(frame))
        pdu = decode_pdu(frame[4:])
        assert isinstance(pdu.msg, kind), pdu
        self.tag = pdu.tag
        return pdu.msg

    async def silence(self) -> None:
        """Nothing but the PONG follows what was sent."""
        self.write(PING)
        await self.frame(PONG)

    async def end(self) -> None:
        """The other end closes, without a further word."""
        while (frame := await self._next()) == PING:
            self.write(PONG)
        assert frame is None, frame

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


class Listener:
    """Where one of our programs dials; ``next`` is its next connection."""

    def __init__(self, role: ComponentType) -> None:
        self._role = role
        self._peers: asyncio.Queue[StrictPeer] = asyncio.Queue()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Listener"]:
        server = await asyncio.start_server(
            lambda reader, writer: self._peers.put_nowait(StrictPeer(reader, writer, self._role)), "127.0.0.1", 0
        )
        self.port: int = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def next(self) -> StrictPeer:
        async with asyncio.timeout(PATIENCE_S):
            return await self._peers.get()


async def test_server(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=True) as rest:
        port = service.rspro_address.port

        async def states() -> list[object]:
            content = (await rest.get(f"{V1}/slotmaps")).content
            found = strict_json.decode("slotmaps", content)["slotmaps"]
            assert isinstance(found, list)
            return [item["state"] for item in found]

        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).content == b""
        assert await states() == ["NEW"]
        bankd = await StrictPeer.dial(port, ComponentType.REMSIM_BANKD)
        bankd.send(rspro.ConnectBankReq(bankd.identity, 1, 2))
        answer = await bankd.expect(rspro.ConnectBankRes)
        assert (answer.result, answer.identity.type) == (ResultCode.OK, ComponentType.REMSIM_SERVER)
        # The bankd is there, so its mapping has been sent, whatever the database is doing.
        assert await states() == ["UNACKNOWLEDGED"]
        assert await bankd.expect(rspro.CreateMappingReq) == rspro.CreateMappingReq(CLIENT, BANK)
        bankd.send(rspro.CreateMappingRes(ResultCode.OK))
        await bankd.silence()
        assert await states() == ["ACTIVE"]
        client = await StrictPeer.dial(port, ComponentType.REMSIM_CLIENT)
        client.send(rspro.ConnectClientReq(client.identity, CLIENT))
        assert (await client.expect(rspro.ConnectClientRes)).result is ResultCode.OK
        told = await client.expect(rspro.ConfigClientBankReq)
        assert (told.bank_slot, str(told.bankd.ip), told.bankd.port) == (BANK, "127.0.0.1", 9999)
        client.send(rspro.ConfigClientBankRes(ResultCode.OK))
        await client.silence()
        # A second introduction is ignored.
        client.send(rspro.ConnectClientReq(client.identity, CLIENT))
        await client.silence()
        for path in ("clients", "banks", "banks/1", "clients/7"):
            strict_json.decode(path, (await rest.get(f"{V1}/{path}")).content)
        answer_to_delete = await rest.delete(f"{V1}/slotmaps/65536")
        assert (answer_to_delete.status_code, answer_to_delete.content) == (200, b"")
        assert await states() == []
        assert await bankd.expect(rspro.RemoveMappingReq) == rspro.RemoveMappingReq(CLIENT, BANK)
        bankd.send(rspro.RemoveMappingRes(ResultCode.OK))
        told = await client.expect(rspro.ConfigClientBankReq)
        assert (told.bank_slot, int(told.bankd.ip), told.bankd.port) == (BANK, 0, 0)
        for peer in (client, bankd):
            await peer.silence()
            await peer.close()


async def test_server_tells_who_returns_nothing_that_is_past(tmp_path: Path) -> None:
    """Two slots are mapped, unmapped while both ends are away, and mapped again, several times at one server."""
    async with running_server(tmp_path) as service, rest_client(service, over_socket=True) as rest:
        port = service.rspro_address.port

        async def come_back() -> StrictPeer:
            bankd = await StrictPeer.dial(port, ComponentType.REMSIM_BANKD)
            bankd.send(rspro.ConnectBankReq(bankd.identity, 1, 2))
            assert (await bankd.expect(rspro.ConnectBankRes)).result is ResultCode.OK
            assert await bankd.expect(rspro.CreateMappingReq) == rspro.CreateMappingReq(CLIENT, BANK)
            return bankd

        for is_answered in (True, False, True):
            assert (await rest.post(f"{V1}/global-reset")).status_code == 200
            assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 201
            bankd = await come_back()
            client = await StrictPeer.dial(port, ComponentType.REMSIM_CLIENT)
            client.send(rspro.ConnectClientReq(client.identity, CLIENT))
            assert (await client.expect(rspro.ConnectClientRes)).result is ResultCode.OK
            await client.silence()
            if is_answered:
                bankd.send(rspro.CreateMappingRes(ResultCode.OK))
                told = await client.expect(rspro.ConfigClientBankReq)
                assert (told.bank_slot, told.bankd.port) == (BANK, 9999)
            for peer in (bankd, client):
                await peer.silence()
                await peer.close()
            while (await rest.get(f"{V1}/banks")).json()["banks"] or (await rest.get(f"{V1}/clients")).json()[
                "clients"
            ]:
                pass


@pytest.mark.parametrize(
    ("role", "request_of", "result"),
    [
        (
            ComponentType.REMSIM_SERVER,
            lambda identity: rspro.ConnectClientReq(identity, CLIENT),
            ResultCode.ILLEGAL_CLIENT_ID,
        ),
        (
            ComponentType.REMSIM_CLIENT,
            lambda identity: rspro.ConnectBankReq(identity, 1, 2),
            ResultCode.ILLEGAL_BANK_ID,
        ),
    ],
)
async def test_server_turns_wrong_types_away(
    tmp_path: Path, role: ComponentType, request_of: Callable[[ComponentIdentity], Message], result: ResultCode
) -> None:
    async with running_server(tmp_path) as service:
        peer = await StrictPeer.dial(service.rspro_address.port, role)
        request = request_of(peer.identity)
        peer.send(request)
        kind = rspro.ConnectBankRes if isinstance(request, rspro.ConnectBankReq) else rspro.ConnectClientRes
        answer = await peer.expect(kind)
        assert isinstance(answer, rspro.ConnectBankRes | rspro.ConnectClientRes)
        assert answer.result is result
        await peer.end()
        await peer.close()


@pytest.mark.parametrize("role", [ComponentType.REMSIM_BANKD, ComponentType.REMSIM_CLIENT])
async def test_server_refuses_an_identity_that_is_in_use(tmp_path: Path, role: ComponentType) -> None:
    async with running_server(tmp_path) as service:
        first, second = [await StrictPeer.dial(service.rspro_address.port, role) for _ in range(2)]
        results: list[ResultCode] = []
        for peer in (first, second):
            if role is ComponentType.REMSIM_BANKD:
                peer.send(rspro.ConnectBankReq(peer.identity, 1, 2))
            else:
                peer.send(rspro.ConnectClientReq(peer.identity, CLIENT))
            if peer is second:
                # The older one is asked whether it lives.
                await first.silence()
            kind = rspro.ConnectBankRes if role is ComponentType.REMSIM_BANKD else rspro.ConnectClientRes
            answer = await peer.expect(kind)
            assert isinstance(answer, rspro.ConnectBankRes | rspro.ConnectClientRes)
            results.append(answer.result)
        assert results == [ResultCode.OK, ResultCode.IDENTITY_IN_USE]
        await second.end()
        await first.silence()
        for peer in (first, second):
            await peer.close()


async def test_bankd(tmp_path: Path) -> None:
    world = BankWorld(tmp_path, has_own_server=False)
    async with world:
        assert world.hello.identity.abilities is not None
        # Strict peers take exactly these names for the programs of the suite.
        assert (world.hello.identity.software, world.hello.bank_id, world.hello.number_of_slots) == (
            "remsim-bankd",
            1,
            2,
        )
        server = world.server

        async def ordered(message: Message) -> ResultCode:
            server.send(message)
            answer = await server.message()
            assert isinstance(answer, rspro.CreateMappingRes | rspro.RemoveMappingRes | rspro.ResetStateRes), answer
            return answer.result

        assert await ordered(rspro.CreateMappingReq(CLIENT, BankSlot(2, 0))) is ResultCode.ILLEGAL_BANK_ID
        assert await ordered(rspro.CreateMappingReq(CLIENT, BankSlot(1, 2))) is ResultCode.ILLEGAL_SLOT_ID
        assert await ordered(rspro.RemoveMappingReq(CLIENT, BankSlot(2, 0))) is ResultCode.ILLEGAL_BANK_ID
        assert await ordered(rspro.RemoveMappingReq(CLIENT, BankSlot(1, 2))) is ResultCode.ILLEGAL_SLOT_ID
        assert await ordered(rspro.RemoveMappingReq(CLIENT, BANK)) is ResultCode.UNKNOWN_SLOTMAP
        # A client without a mapping: the one result that the C bankd has for it, and the link stays.
        unmapped = await StrictPeer.dial(world.port, ComponentType.REMSIM_CLIENT)
        unmapped.send(rspro.ConnectClientReq(unmapped.identity, ClientSlot(9, 0)))
        assert (await unmapped.expect(rspro.ConnectClientRes)).result is ResultCode.CARD_NOT_PRESENT
        await unmapped.silence()
        assert await ordered(rspro.CreateMappingReq(CLIENT, BANK)) is ResultCode.OK
        assert await ordered(rspro.CreateMappingReq(CLIENT, BANK)) is ResultCode.OK
        assert await ordered(rspro.RemoveMappingReq(ClientSlot(8, 0), BANK)) is ResultCode.UNKNOWN_SLOTMAP
        client = await StrictPeer.dial(world.port, ComponentType.REMSIM_CLIENT)
        client.send(rspro.ConnectClientReq(client.identity, CLIENT))
        answer = await client.expect(rspro.ConnectClientRes)
        assert (answer.result, answer.identity.type) == (ResultCode.OK, ComponentType.REMSIM_BANKD)
        assert (await client.expect(rspro.SetAtrReq)).slot == CLIENT
        client.send(rspro.SetAtrRes(ResultCode.OK))
        for vcc in (True, False, True):
            status = SlotPhysStatus(reset_active=not vcc, vcc_present=vcc, clk_active=vcc, card_present=True)
            client.send(rspro.ClientSlotStatusInd(CLIENT, BANK, status))
        await client.silence()
        commands = [bytes.fromhex(text) for text in ("00a40004023f00", "00a40004022fe2", "00b000000a")]
        for command in commands:
            client.send(rspro.TpduModemToCard(CLIENT, BANK, rspro.NO_FLAGS, command))
        for _ in commands:
            response = await client.expect(rspro.TpduCardToModem)
            assert (response.from_bank_slot, response.to_client_slot) == (BANK, CLIENT)
            assert response.flags == rspro.NO_FLAGS
        # The same again disturbs nobody; the card for another client ends the link without a word.
        assert await ordered(rspro.CreateMappingReq(CLIENT, BANK)) is ResultCode.OK
        await client.silence()
        assert await ordered(rspro.CreateMappingReq(ClientSlot(987, 654), BANK)) is ResultCode.OK
        await client.end()
        assert await ordered(rspro.RemoveMappingReq(ClientSlot(987, 654), BANK)) is ResultCode.OK
        assert await ordered(rspro.ResetStateReq()) is ResultCode.OK
        await _refuses_what_does_not_belong_there(world, unmapped)
        await client.close()


async def _refuses_what_does_not_belong_there(world: BankWorld, unmapped: StrictPeer) -> None:
    """It ends a client's link, as in the C bankd."""
    unmapped.send(rspro.ConnectClientReq(unmapped.identity, ClientSlot(9, 0)))
    assert (await unmapped.expect(rspro.ConnectClientRes)).result is ResultCode.ILLEGAL_CLIENT_ID
    await unmapped.end()
    nobody = await StrictPeer.dial(world.port, ComponentType.REMSIM_CLIENT)
    nobody.send(rspro.ConnectClientReq(nobody.identity))
    assert (await nobody.expect(rspro.ConnectClientRes)).result is ResultCode.ILLEGAL_CLIENT_ID
    await nobody.end()
    for peer in (unmapped, nobody):
        await peer.close()


@pytest.mark.parametrize("waits_for_lines", [False, True])
async def test_client(waits_for_lines: bool) -> None:
    servers, bankds = Listener(ComponentType.REMSIM_SERVER), Listener(ComponentType.REMSIM_BANKD)
    async with servers.open(), bankds.open():
        config = ClientConfig.model_validate(
            {"server": HostPort("127.0.0.1", servers.port), "client": CLIENT, "plaintext": True}
        )
        emulator = DrivenEmulator()
        service = ClientService([SlotSpec(config, emulator, ClientObserver())], metrics=ClientMetrics())
        await service.start()
        try:
            server = await servers.next()
            # It asks at once whether we live, as all that dial do.
            await server.ping_comes()
            asked = await server.expect(rspro.ConnectClientReq)
            assert (asked.client_slot, asked.identity.software) == (CLIENT, "remsim-client")
            server.write(ID_GET)
            await server.frame(ID_RESP)
            await server.frame(ID_ACK)
            # At its end ID_ACK is not answered.
            server.write(ID_ACK)
            server.send(rspro.ConnectClientRes(server.identity, ResultCode.OK), 2342)
            await server.silence()
            server.send(rspro.ConfigClientBankReq(BANK, IpPort(ip_address("127.0.0.1"), bankds.port)))
            assert (await server.expect(rspro.ConfigClientBankRes)).result is ResultCode.OK
            bankd = await bankds.next()
            await bankd.ping_comes()
            assert (await bankd.expect(rspro.ConnectClientReq)).client_slot == CLIENT
            bankd.send(rspro.ConnectClientRes(bankd.identity, ResultCode.OK), 2342)
            if waits_for_lines:
                status = await bankd.expect(rspro.ClientSlotStatusInd)
                assert (status.from_client_slot, status.to_bank_slot) == (CLIENT, BANK)
                assert (status.slot_phys_status.reset_active, status.slot_phys_status.vcc_present) == (False, True)
            bankd.send(rspro.SetAtrReq(CLIENT, ATR))
            assert (await bankd.expect(rspro.SetAtrRes)).result is ResultCode.OK
            assert await emulator.wait_card(PATIENCE_S) == ATR
            async with asyncio.TaskGroup() as group:
                answered = group.create_task(emulator.exchange(READ))
                command = await bankd.expect(rspro.TpduModemToCard)
                assert command == rspro.TpduModemToCard(CLIENT, BANK, rspro.NO_FLAGS, READ)
                bankd.send(rspro.TpduCardToModem(BANK, CLIENT, rspro.NO_FLAGS, bytes.fromhex("019000")))
            assert answered.result() == bytes.fromhex("019000")
            # These are ignored, and not answered.
            for message in (rspro.ResetStateReq(), rspro.CreateMappingReq(CLIENT, BANK)):
                server.send(message)
            await server.silence()
            await bankd.silence()
            server.send(rspro.ConfigClientIdReq(CLIENT))
            assert (await server.expect(rspro.ConfigClientIdRes)).result is ResultCode.OK
            server.send(rspro.ConfigClientBankReq(BANK, IpPort(ip_address("0.0.0.0"), 0)))
            assert (await server.expect(rspro.ConfigClientBankRes)).result is ResultCode.OK
            await bankd.end()
            await server.silence()
            await bankd.close()
            await _says_nothing_to_a_bankd_without_a_card(server, bankds)
            await server.close()
        finally:
            await service.stop()


async def _says_nothing_to_a_bankd_without_a_card(server: StrictPeer, bankds: Listener) -> None:
    """Not until it is taken away again."""
    server.send(rspro.ConfigClientBankReq(BANK, IpPort(ip_address("127.0.0.1"), bankds.port)))
    assert (await server.expect(rspro.ConfigClientBankRes)).result is ResultCode.OK
    bankd = await bankds.next()
    await bankd.ping_comes()
    assert (await bankd.expect(rspro.ConnectClientReq)).client_slot == CLIENT
    bankd.send(rspro.ConnectClientRes(bankd.identity, ResultCode.OK))
    await bankd.silence()
    server.send(rspro.ConfigClientBankReq(BANK, IpPort(ip_address("0.0.0.0"), 0)))
    assert (await server.expect(rspro.ConfigClientBankRes)).result is ResultCode.OK
    await bankd.end()
    await bankd.close()


async def test_client_leaves_a_server_that_refuses_it_and_comes_back() -> None:
    servers = Listener(ComponentType.REMSIM_SERVER)
    async with servers.open():
        config = ClientConfig.model_validate(
            {"server": HostPort("127.0.0.1", servers.port), "client": CLIENT, "plaintext": True}
        )
        service = ClientService([SlotSpec(config, DrivenEmulator(), ClientObserver())], metrics=ClientMetrics())
        await service.start()
        try:
            for result in (ResultCode.ILLEGAL_CLIENT_ID, ResultCode.OK):
                server = await servers.next()
                await server.ping_comes()
                assert (await server.expect(rspro.ConnectClientReq)).client_slot == CLIENT
                server.send(rspro.ConnectClientRes(server.identity, result))
                await (server.silence() if result is ResultCode.OK else server.end())
                await server.close()
        finally:
            await service.stop()
