# SPDX-License-Identifier: Apache-2.0
"""The models of traces in REST v2. Bytes are hex text; ``**`` stands for a byte that is not shown."""

from typing import Annotated, Literal

from pydantic import Field

from remsim.rest.models import BankSlotText, ClientSlotText, Time, V2Model

#: Each byte as two hex digits, or hidden.
MaskedHex = Annotated[
    str, Field(pattern=r"^(?:[0-9a-f]{2}|\*\*)*$", max_length=600, examples=["0020000108****************"])
]
SlotText = BankSlotText | ClientSlotText
Milliseconds = Annotated[float, Field(ge=0)]


class TraceModel(V2Model):
    """One thing that happened at a slot, or how many records are missing."""

    id: str = Field(description="for Last-Event-ID")
    at: Time
    kind: Literal["command", "cold_reset", "warm_reset", "atr", "left_out", "other"]
    source: SlotText = Field(description="the end that tells of it; of a command that both tell of, the bank's")
    bank: BankSlotText | None = None
    client: ClientSlotText | None = None
    origin: Literal["modem", "guess", "restore", "inventory", "other"] | None = Field(
        None,
        description="of a command: who asked the card. guess: the bankd, ahead of the modem; restore: the bankd, to "
        "bring back what the modem believes to be selected; inventory: the bankd, to learn what card it has",
    )
    command_id: str | None = Field(
        None,
        description="the same in both programs: session and operation tag, or bank slot and operation tag, which is "
        "unique within a link only; behind + the place of what was answered ahead",
        examples=["0a1b2c3d4e5f-17", "B1:3-17", "0a1b2c3d4e5f-17+2"],
    )
    command: MaskedHex | None = None
    response: MaskedHex | None = Field(None, description="data, SW1, SW2; absent: there was no answer. Or the ATR")
    words: str | None = Field(None, description="what it is, for people", examples=["READ BINARY, 9 bytes [EF.IMSI]"])
    answer: str | None = Field(None, description="what the card said, for people", examples=["9000 ok, 9 bytes"])
    card_ms: Milliseconds | None = Field(None, description="what the card took")
    total_ms: Milliseconds | None = Field(None, description="how long the modem waited")
    network_ms: Milliseconds | None = Field(
        None, description="total less card, where both are known: the network, and the programs at both ends"
    )
    left_out: int | None = Field(None, ge=1, description="of left_out: so many, because they were too many at once")


class TraceEndModel(V2Model):
    """An end that can tell of a slot."""

    slot: SlotText
    traces: bool
    problem: str | None = Field(None, description="why it does not", examples=["bank 1 is not connected"])


class TraceMissedModel(V2Model):
    """The reader has missed records: it was away, or too slow."""

    records: int | None = Field(None, ge=1, description="so many; absent: nobody knows")


class TraceEndsModel(V2Model):
    """Who tells of a slot: sent first, and when it changes."""

    slot: SlotText
    ends: list[TraceEndModel]


#: What a stream of a trace consists of.
TraceItem = TraceModel | TraceEndsModel | TraceMissedModel
