# SPDX-License-Identifier: Apache-2.0
"""The strict decoder: it takes all that the C programs were recorded to send, and nothing that is ours.

That what we send to classic peers goes through it is checked where sessions are replayed, and by property tests.
"""

import json

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire import ipa
from remsim.wire.link.ability_bits import ABILITIES
from remsim.wire.messages import ber, extensions, rspro
from remsim.wire.messages.codec import encode_pdu
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, Message, ResultCode, RsproPdu
from remsim.wire.messages.schema import ALTERNATIVES, FIRST_OF_OURS
from tests.doubles import strict_asn1, vectors
from tests.doubles.strict_asn1 import StrictError
from tests.reference import ROOT

OURS = json.loads((ROOT / "tests" / "vectors" / "rspro" / "extensions.json").read_text(encoding="utf-8"))["messages"]
IDENTITY = ComponentIdentity(ComponentType.REMSIM_CLIENT, "vm", "remsim-client", "0.3.0")


def test_everything_that_was_recorded_is_accepted() -> None:
    names = {name for frame in vectors.frames() for name in strict_asn1.frames(frame.raw)}
    assert names >= {"connectBankReq", "connectClientRes", "configClientBankReq", "tpduModemToCard", "CCM 00", "CCM 01"}


@pytest.mark.parametrize("entry", vectors.document("messages.json")["messages"], ids=lambda entry: entry["name"])
def test_every_classic_message_is_accepted_by_its_name(entry: dict[str, str]) -> None:
    raw = bytes.fromhex(entry["der"])
    assert strict_asn1.pdu(raw) in {struct.name for n, struct in ALTERNATIVES.items() if n < FIRST_OF_OURS}


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: str(entry["name"]))
def test_of_ours_only_connect_messages_are_accepted(entry: dict[str, object]) -> None:
    """Abilities stand in the version, where a decoder has nothing to refuse."""
    raw = bytes.fromhex(str(entry["der"]))
    # bankSlotStatusInd is a classic message; who sends it when is ours.
    if "abilities" in entry or "bankSlotStatusInd" in str(entry["pdu"]):
        assert strict_asn1.pdu(raw)
        return
    with pytest.raises(StrictError):
        strict_asn1.pdu(raw)


@pytest.mark.parametrize(
    "message",
    [
        extensions.CardInd(BankSlot(1, 0)),
        rspro.AddressesInd(()),
        rspro.ReaderHealthInd(BankSlot(1, 0), rspro.ReaderState.SUSPENDED, 3),
        extensions.AuditInd("command.block", is_refused=True),
        rspro.CreateMappingRes(ResultCode(77)),
        rspro.ErrorInd(ComponentType.REMSIM_BANKD, rspro.ErrorSeverity(9), rspro.ErrorCode.UNEXPECTED_DISCONNECT),
    ],
    ids=lambda message: type(message).__name__,
)
def test_messages_and_values_that_classic_programs_do_not_know_are_refused(message: Message) -> None:
    with pytest.raises(StrictError):
        strict_asn1.pdu(encode_pdu(RsproPdu(1, message)))


def test_element_behind_the_listed_ones_is_refused() -> None:
    """As the abilities were once: in the identity, and behind the listed elements of a message."""
    slot = ber.encode(0x30, bytes.fromhex("020101020100"))
    names = bytes.fromhex("0a010016027676800872656d73696d2d63810130")
    for identity, behind in ((names + bytes.fromhex("b400"), b""), (names, bytes.fromhex("b500"))):
        body = ber.encode(0xA2, ber.encode(0x30, identity) + slot + behind)
        raw = ber.encode(0x30, bytes.fromhex("800102810100") + ber.encode(0xA2, body))
        with pytest.raises(StrictError, match="unknown element b"):
            strict_asn1.pdu(raw)


def test_request_with_abilities_in_the_version_is_accepted() -> None:
    request = rspro.ConnectClientReq(IDENTITY.with_abilities(ABILITIES), ClientSlot(1, 0))
    assert strict_asn1.pdu(encode_pdu(RsproPdu(0, request))) == "connectClientReq"


@pytest.mark.parametrize(
    "frame", ["0001fe07", "0001fd00", "0002ee0830", "0000fe", "0001", "0002fe0000", "0003fe060108"]
)
def test_frames_that_classic_programs_do_not_send_are_refused(frame: str) -> None:
    with pytest.raises(StrictError):
        list(strict_asn1.frames(bytes.fromhex(frame)))


def test_frame_that_is_too_long_for_a_classic_program_is_refused() -> None:
    data = rspro.TpduModemToCard(ClientSlot(1, 0), BankSlot(1, 0), rspro.NO_FLAGS, bytes(1024))
    with pytest.raises(StrictError, match="frame of"):
        list(strict_asn1.frames(ipa.encode_rspro(encode_pdu(RsproPdu(1, data)))))
