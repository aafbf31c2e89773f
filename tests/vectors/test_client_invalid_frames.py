# SPDX-License-Identifier: Apache-2.0
"""Frames that no client may trip over (invalid.json of the recorded vectors), given to a client slot in service.

Each goes to the link to the server and to the one to the bankd, as the first message and after acceptance. The slot
may ignore it, refuse it or close the link; the modem must not notice anything but that, and a command in progress ends
with one answer at most.
"""

import json
from ipaddress import IPv4Address
from typing import TypedDict, cast

import pytest

from remsim.client.core.actions import Action, DialBankd, Respond, SetAtr
from remsim.client.core.coordinator import ClientCoordinator
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.ipa import encode_rspro
from remsim.wire.link.actions import Close, LinkId, Send
from remsim.wire.link.engine import LinkEngine
from remsim.wire.link.events import LinkFailed
from remsim.wire.messages import rspro
from remsim.wire.messages.codec import encode_pdu
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, IpPort, Message, ResultCode, RsproPdu
from tests.reference import reference

SERVER, BANKD = LinkId(1), LinkId(2)
CLIENT_SLOT, BANK_SLOT = ClientSlot(1, 0), BankSlot(1, 0)
ADDRESS = IpPort(IPv4Address("127.0.0.1"), 9999)
ATR = b"\x3b\x00"
CLIENT = ComponentIdentity(ComponentType.REMSIM_CLIENT, "client", "client", "1")


class _Part(TypedDict):
    hex: str
    times: int


class _Frame(TypedDict, total=False):
    name: str
    kind: str
    hex: str
    parts: list[_Part]


def _frames() -> list[_Frame]:
    path = reference("vectors", "rspro", "invalid.json")
    return cast(list[_Frame], json.loads(path.read_text(encoding="utf-8"))["frames"])


def _bytes(frame: _Frame) -> bytes:
    if "hex" in frame:
        return bytes.fromhex(frame["hex"])
    return b"".join(bytes.fromhex(part["hex"]) * part.get("times", 1) for part in frame["parts"])


class Slot:
    """A coordinator behind two real link engines."""

    def __init__(self) -> None:
        self.coordinator = ClientCoordinator(identity=CLIENT, client_slot=CLIENT_SLOT, default_atr=ATR)
        self.done: list[Action] = []
        self.failed: set[LinkId] = set()
        self._links: dict[LinkId, LinkEngine] = {}

    def up(self, link: LinkId, role: ComponentType) -> None:
        self._links[link] = LinkEngine(identity=CLIENT, peer=role, now=0.0)
        self._carry_out(self.coordinator.on_link_up(link, role, 0.0))

    def hear(self, link: LinkId, message: Message) -> None:
        self.raw(link, encode_rspro(encode_pdu(RsproPdu(1, message))))

    def raw(self, link: LinkId, data: bytes) -> None:
        connection = self._links[link]
        connection.receive_data(data, 0.0)
        while link not in self.failed and (event := connection.next_event()) is not None:
            if isinstance(event, LinkFailed):
                self._lose(link, event.reason)
            else:
                self._carry_out(self.coordinator.on_event(link, event, 0.0))

    def command(self) -> None:
        self._carry_out(self.coordinator.on_tpdu(1, bytes.fromhex("00b0000002"), 0.0, 0.0))

    def _carry_out(self, actions: list[Action]) -> None:
        self.done += actions
        for action in actions:
            if isinstance(action, Send) and action.link not in self.failed:
                self._links[action.link].send(action.message, now=0.0, reply_to=action.reply_to)
            elif isinstance(action, Close):
                self._lose(action.link, action.reason)

    def _lose(self, link: LinkId, reason: str) -> None:
        if link not in self.failed:
            self.failed.add(link)
            self._carry_out(self.coordinator.on_link_lost(link, reason, 0.0))


def in_service(*, is_own: bool = False) -> Slot:
    slot = Slot()
    abilities = ("slots.1",) if is_own else None
    for link, role in ((SERVER, ComponentType.REMSIM_SERVER), (BANKD, ComponentType.REMSIM_BANKD)):
        slot.up(link, role)
        identity = ComponentIdentity(role, "peer", "remsim-peer", "1").with_abilities(abilities)
        slot.hear(link, rspro.ConnectClientRes(identity, ResultCode.OK))
        if link == SERVER:
            slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, ADDRESS))
    slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, ATR))
    slot.done.clear()
    return slot


def consequences(slot: Slot) -> list[Action]:
    """What a modem or a bankd would notice."""
    return [action for action in slot.done if isinstance(action, SetAtr | Respond | DialBankd)]


FRAMES = _frames()


@pytest.mark.parametrize("frame", FRAMES, ids=[frame["name"] for frame in FRAMES])
@pytest.mark.parametrize("link", [SERVER, BANKD], ids=["server", "bankd"])
def test_slot_in_service_survives(frame: _Frame, link: LinkId) -> None:
    slot = in_service()
    slot.command()
    slot.raw(link, _bytes(frame))
    if frame["kind"] == "reject":
        assert consequences(slot) == []
    if link not in slot.failed:
        # Nothing is left that disturbs what follows.
        slot.raw(link, bytes.fromhex("0001fe00"))
    assert slot.coordinator.client_slot == CLIENT_SLOT


@pytest.mark.parametrize("frame", FRAMES, ids=[frame["name"] for frame in FRAMES])
def test_slot_that_was_not_accepted_survives(frame: _Frame) -> None:
    slot = Slot()
    slot.up(SERVER, ComponentType.REMSIM_SERVER)
    slot.raw(SERVER, _bytes(frame))
    assert consequences(slot) == []
    assert not slot.coordinator.is_server_connected


@pytest.mark.parametrize(
    "name", ["conf-ipv4-3", "conf-ipv4-0", "conf-ipv6-4", "conf-ipv6-0", "conf-port-65536", "conf-ipport-extra"]
)
def test_address_that_is_none_is_refused(name: str) -> None:
    """known-limits.md, 16 and 22: the C client dials at random or exits."""
    (frame,) = (frame for frame in FRAMES if frame["name"] == name)
    slot = in_service()
    slot.raw(SERVER, _bytes(frame))
    answers = [action.message for action in slot.done if isinstance(action, Send)]
    assert answers == [rspro.ConfigClientBankRes(ResultCode.ILLEGAL_BANK_ID)]
    assert slot.failed == set()
