# SPDX-License-Identifier: Apache-2.0
"""The settings of the client commands: a slot with a frontend, a slot in a virtual reader, or many on hardware.

What a single emulator needs to know is its own (``EmulatorSettings``); of most emulators it is not even known here.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from remsim.card.apdu_case import CommandRules, UnknownCommandPolicy
from remsim.card.atr_policy import AtrPart, AtrPolicy
from remsim.config import fields
from remsim.config.models import (
    AheadWord,
    ContradictionError,
    DaemonConfig,
    EmulatorSettings,
    SessionSettings,
    Settings,
    TraceSettings,
)
from remsim.config.values import RSPRO_PORT, VPCD_PORT, HostPort

_Parts = Annotated[tuple[Literal["historical", "interface"], ...], BeforeValidator(fields.items)]

UnknownWord = Literal["refuse", "receive"]


class AtrRules(Settings):
    """What is changed in the bank's ATR before the modem sees it; TCK is computed anew."""

    #: Offer no higher speed than this value of TA1 (hex): 94 is a usual one, 11 offers none.
    cap_ta1: fields.HexByte | None = None
    #: Offer no protocol but T=0.
    t0_only: fields.Switch = False
    #: Leave out `historical` bytes, all `interface` bytes, or both.
    strip: _Parts = ()

    def policy(self) -> AtrPolicy:
        """The rules as they are applied. Raises AtrError if they cannot work."""
        return AtrPolicy(
            cap_ta1=self.cap_ta1, is_t0_only=self.t0_only, strip=frozenset(AtrPart(part) for part in self.strip)
        )

    @model_validator(mode="after")
    def _check_policy(self) -> Self:
        self.policy()
        return self


class CardSettings(Settings):
    """What every client slot has, whatever plays its card."""

    #: Shown to the modem until the bank's card has one.
    atr: fields.Atr = bytes.fromhex("3b00")
    #: Keep the configured ATR; ignore the card's.
    atr_ignore_rspro: fields.Switch = False
    atr_rules: AtrRules = AtrRules.defaults()
    #: What to do when the card's ATR comes after the modem was shown the configured one:
    #: `reinsert` takes the card out and puts it in again, `reset` pulses the modem's own reset line.
    atr_late: Literal["reinsert", "reset"] = "reinsert"
    #: A command that waits for a lost link fails after this time where the emulator cannot keep the modem waiting for
    #: as long as it takes: in virtual readers, the shell, scripts and Python programs.
    stall_limit_s: fields.Seconds = 10.0
    #: Command for `sh`, run at each event of the slot with the cause as its last word.
    event_script: fields.PlainText | None = None
    #: End a run of the event script after this time.
    event_timeout_s: fields.Seconds = 30.0

    @model_validator(mode="after")
    def _check_atr(self) -> Self:
        if self.atr_ignore_rspro and self.atr_rules != AtrRules.defaults():
            raise ContradictionError(
                ("atr_ignore_rspro", "atr_rules"), "rules change the bank's ATR, which is not shown at all"
            )
        return self


class ClientConfig(CardSettings, TraceSettings, SessionSettings, DaemonConfig):
    """Settings of the ``remsim client`` commands for one client slot."""

    program: ClassVar[str] = "client"

    server: fields.ServerAddress = HostPort("127.0.0.1", RSPRO_PORT)
    #: Which client slot this is; None: the server is asked for a number.
    client: fields.ClientSlotField | None = None
    #: How long commands wait for a card before the program gives up.
    card_wait_s: fields.Seconds = 30.0
    #: Where GSMTAP is sent: each command of the modem with its answer, secrets hidden.
    gsmtap: fields.GsmtapAddress | None = None


class VpcdSettings(EmulatorSettings):
    """Settings of one virtual PC/SC reader."""

    #: Where vpcd waits for the card of this reader.
    vpcd: fields.VpcdAddress = HostPort("127.0.0.1", VPCD_PORT)
    #: Fetch what the card announces with 61xx and repeat after 6Cxx, as readers at APDU level do.
    auto_get_response: fields.Switch = False
    #: A command without an answer by then has failed. The bank gives up after 60 s, and tells.
    answer_timeout_s: fields.Seconds = 65.0


class ClientVpcdConfig(VpcdSettings, ClientConfig):
    """Settings of ``remsim client vpcd``: one slot in one virtual reader."""

    @property
    def reader(self) -> VpcdSettings:
        """The virtual reader's part."""
        # Judged already, as ours.
        return VpcdSettings.model_construct(**{key: getattr(self, key) for key in VpcdSettings.model_fields})


class ClientSlotConfig(CardSettings):
    """One ``[[slot]]`` of ``remsim client run``: an emulator, and which card its modem gets."""

    #: This client slot; without it, the server assigns one.
    client: fields.ClientSlotField | None = None
    #: What plays the card: `simtrace2`, `vpcd`, or one that another package provides.
    emulator: fields.PlainText
    #: Whether answers ahead are taken for this slot; without it as for the whole file.
    ahead: AheadWord | None = None
    #: The emulator's own settings.
    settings: dict[str, object] = Field(default_factory=dict)
    #: Direction of commands' data, as `CLA[/MASK] INS [P1] = CASE`; these precede those of the whole file and the
    #: built-in tables.
    command_cases: fields.CommandCases = ()
    #: `refuse` or `receive`; without it as for the whole file.
    unknown_commands: UnknownWord | None = None


class ClientRunConfig(TraceSettings, SessionSettings, DaemonConfig):
    """Settings of ``remsim client run``: every client slot of a host in one process."""

    program: ClassVar[str] = "client"

    server: fields.ServerAddress = HostPort("127.0.0.1", RSPRO_PORT)
    #: Tables ``[[slot]]``.
    slot: tuple[ClientSlotConfig, ...] = ()
    #: Serve every card-emulation interface that is plugged in at the start, too, in the order of USB path and
    #: interface.
    auto: fields.Switch = False
    #: Number of the first interface that `auto` finds; the next ones count on. Without it the server gives numbers.
    auto_client: fields.ClientSlotField | None = None
    #: Direction of commands' data, as `CLA[/MASK] INS [P1] = CASE`; these precede the built-in tables.
    command_cases: fields.CommandCases = ()
    #: Where GSMTAP is sent: each command of all modems with its answer, secrets hidden.
    gsmtap: fields.GsmtapAddress | None = None
    #: What to do with unknown commands: `refuse` (6D00 or 6E00), or `receive`, as if the modem waited for data of the
    #: card.
    unknown_commands: UnknownWord = "refuse"

    def of_slot(self, slot: ClientSlotConfig) -> ClientConfig:
        """The settings of one slot together with those that all share."""
        shared = {
            name: getattr(self, name)
            for name in (
                *DaemonConfig.model_fields,
                *SessionSettings.model_fields,
                *TraceSettings.model_fields,
                "server",
                "gsmtap",
            )
        }
        if slot.ahead is not None:
            shared["ahead"] = slot.ahead
        return ClientConfig(
            client=slot.client, **{name: getattr(slot, name) for name in CardSettings.model_fields}, **shared
        )

    def command_rules(self, slot: ClientSlotConfig) -> CommandRules:
        """What holds for the commands of a slot: its own cases, then those of all."""
        return CommandRules(
            slot.command_cases + self.command_cases,
            UnknownCommandPolicy(slot.unknown_commands or self.unknown_commands),
        )

    @model_validator(mode="after")
    def _check_slots(self) -> Self:
        if not self.slot and not self.auto:
            raise ContradictionError(
                ("slot",), "there is no slot to serve", hint="write a [[slot]] table for each, or give --auto"
            )
        if self.auto_client is not None and not self.auto:
            raise ContradictionError(("auto_client",), "it numbers what --auto finds", hint="give --auto, too")
        numbers = [slot.client for slot in self.slot if slot.client is not None]
        for number in numbers:
            if numbers.count(number) > 1:
                raise ContradictionError(("slot",), f"{number} is described more than once", hint="keep one")
        for position, slot in enumerate(self.slot):
            if any(
                (slot.emulator, slot.settings) == (other.emulator, other.settings) for other in self.slot[:position]
            ):
                raise ContradictionError(
                    ("slot",),
                    f"two slots have the same {slot.emulator} with the same settings",
                    hint="name the device of each in settings",
                )
        return self
