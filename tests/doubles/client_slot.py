# SPDX-License-Identifier: Apache-2.0
"""A client slot's coordinator with shorthand for what its peers say."""

from ipaddress import IPv4Address

from remsim.card.atr_policy import AtrPolicy
from remsim.client.core.actions import (
    Action,
    Command,
    RemoveCard,
    ResetModem,
    SelectSim,
)
from remsim.client.core.coordinator import ClientCoordinator
from remsim.client.core.notices import Notice, NoticeKind
from remsim.client.core.options import HoldOptions
from remsim.client.core.states import SlotState
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.wire.link.actions import LinkId, Send
from remsim.wire.link.engine import (
    Event,
    Received,
)
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, IpPort, Message, ResultCode, SlotPhysStatus

SERVER, BANKD = LinkId(1), LinkId(2)
CLIENT_SLOT, BANK_SLOT = ClientSlot(7, 0), BankSlot(1, 3)
ADDRESS = IpPort(IPv4Address("192.0.2.1"), 9999)
NOWHERE = IpPort(IPv4Address("0.0.0.0"), 0)
DEFAULT_ATR, CARD_ATR = b"\x3b\x00", b"\x3b\x01\x02"
READ = bytes.fromhex("00b0000002")
IDENTITY = ComponentIdentity(ComponentType.REMSIM_CLIENT, "host", "remsim-client", "1")
OWN_SERVER = ComponentIdentity(ComponentType.REMSIM_SERVER, "server", "remsim-server", "1").with_abilities(("echo.1",))
OWN_BANKD = ComponentIdentity(ComponentType.REMSIM_BANKD, "bank", "remsim-bankd", "1").with_abilities(("slots.1",))
AS_IT_IS = AtrPolicy()
OFF = SlotPhysStatus(reset_active=True, vcc_present=False)
ON = SlotPhysStatus(reset_active=False, vcc_present=True)


def classic(identity: ComponentIdentity) -> ComponentIdentity:
    return identity.with_abilities(None)


#: When commands come, in seconds of a clock that is not the coordinator's.
CAME_AT = 5.0


def command(number: int, tpdu: bytes = READ) -> Command:
    """The modem's command of that number, as it comes back with its answer."""
    return Command(number, tpdu, CAME_AT)


class Slot:
    """A coordinator with shorthand for what peers say. Notices and log lines are kept apart."""

    def __init__(
        self,
        *,
        client_slot: ClientSlot | None = CLIENT_SLOT,
        keeps_atr: bool = False,
        atr_policy: AtrPolicy = AS_IT_IS,
        resets_for_atr: bool = False,
        hold: HoldOptions = HoldOptions(),  # noqa: B008  # immutable
    ) -> None:
        self.coordinator = ClientCoordinator(
            identity=IDENTITY,
            client_slot=client_slot,
            default_atr=DEFAULT_ATR,
            keeps_default_atr=keeps_atr,
            atr_policy=atr_policy,
            resets_for_atr=resets_for_atr,
            hold=hold,
        )
        #: Everything that the coordinator asked for, notices included, in order.
        self.everything: list[Action] = []
        self.notices: list[Notice] = []
        self.log: list[LogEvent] = []
        #: Of the modem's newest command.
        self.number = 0
        self.now = 100.0
        self._requests: dict[LinkId, rspro.Request] = {}

    @property
    def state(self) -> SlotState:
        return self.coordinator.state

    def done(self, actions: list[Action]) -> list[Action]:
        self.everything += actions
        self.notices += [action for action in actions if isinstance(action, Notice)]
        self.log += [action for action in actions if isinstance(action, LogEvent)]
        rest: list[Action] = [action for action in actions if not isinstance(action, Notice | LogEvent)]
        for action in rest:
            if isinstance(action, Send) and isinstance(action.message, rspro.ConnectClientReq):
                self._requests[action.link] = action.message
        return rest

    def kinds(self) -> list[NoticeKind]:
        found = [notice.kind for notice in self.notices]
        self.notices.clear()
        return found

    def logged(self) -> list[str]:
        """Names of the lines that are for the log only."""
        found = [event.name for event in self.log]
        self.log.clear()
        return found

    def up(self, link: LinkId) -> list[Action]:
        role = ComponentType.REMSIM_SERVER if link == SERVER else ComponentType.REMSIM_BANKD
        return self.done(self.coordinator.on_link_up(link, role, self.now))

    def event(self, link: LinkId, event: Event) -> list[Action]:
        return self.done(self.coordinator.on_event(link, event, self.now))

    def hear(self, link: LinkId, message: Message, tag: int = 5, request: rspro.Request | None = None) -> list[Action]:
        return self.event(link, Received(message, tag, request))

    def answer(self, link: LinkId, identity: ComponentIdentity, result: ResultCode = ResultCode.OK) -> list[Action]:
        return self.hear(link, rspro.ConnectClientRes(identity, result), request=self._requests[link])

    def lose(self, link: LinkId) -> list[Action]:
        return self.done(self.coordinator.on_link_lost(link, "cut", self.now))

    def tpdu(self, tpdu: bytes) -> list[Action]:
        self.number += 1
        return self.done(self.coordinator.on_tpdu(self.number, tpdu, CAME_AT, self.now))

    def lines(self, lines: SlotPhysStatus) -> list[Action]:
        return self.done(self.coordinator.on_lines(lines, self.now))

    # Milestones

    def with_server(self, identity: ComponentIdentity = OWN_SERVER) -> "Slot":
        self.up(SERVER)
        self.answer(SERVER, identity)
        return self

    def with_bankd_given(self, address: IpPort = ADDRESS) -> "Slot":
        self.with_server()
        self.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, address))
        return self

    def with_bankd(self, identity: ComponentIdentity = OWN_BANKD, result: ResultCode = ResultCode.OK) -> "Slot":
        self.with_bankd_given()
        self.up(BANKD)
        self.answer(BANKD, identity, result)
        return self

    def with_card(self, identity: ComponentIdentity = OWN_BANKD) -> "Slot":
        self.with_bankd(identity)
        self.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
        self.notices.clear()
        self.log.clear()
        return self

    def command(self, tpdu: bytes = READ) -> rspro.TpduModemToCard:
        (send,) = self.tpdu(tpdu)
        assert isinstance(send, Send)
        assert isinstance(send.message, rspro.TpduModemToCard)
        return send.message

    def card_answers(self, request: rspro.TpduModemToCard, data: bytes) -> list[Action]:
        return self.hear(BANKD, rspro.TpduCardToModem(BANK_SLOT, CLIENT_SLOT, rspro.NO_FLAGS, data), request=request)


LEAVE: list[Action] = [RemoveCard(), SelectSim(remote=False), ResetModem()]
