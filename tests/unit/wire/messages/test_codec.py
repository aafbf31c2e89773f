# SPDX-License-Identifier: Apache-2.0
"""The codec's own branches; that it agrees with the schema is shown by the vectors and the property tests."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.errors import DecodeError, LocalProtocolError
from remsim.wire.messages import ber, rspro
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.rspro import (
    AddressKind,
    AdvertisedAddress,
    ComponentIdentity,
    ComponentType,
    IpPort,
    Message,
    ResultCode,
    RsproPdu,
    UnknownMessage,
)
from tests.doubles import notation

IDENTITY = ComponentIdentity(ComponentType.REMSIM_BANKD, "vm", "remsim", "1")
CLIENT, BANK = ClientSlot(1, 0), BankSlot(1, 2)


def identity_der(*additions: str) -> str:
    """The identity above with elements behind it."""
    content = bytes.fromhex("0a01021602766d800672656d73696d810131" + "".join(additions))
    return ber.encode(0x30, content).hex()


def pdu(alternative: int, content: str, *, version: int = 2, tag: int = 5) -> bytes:
    """A PDU around the hex content of an alternative."""
    message = ber.encode(0xA2, ber.encode(alternative, bytes.fromhex(content)))
    return ber.encode(0x30, bytes((0x80, 1, version, 0x81, 1, tag)) + message)


def connect_bank(*additions: str, behind: str = "") -> bytes:
    """A connectBankReq with elements behind its identity's, and behind its own."""
    return pdu(0xA0, identity_der(*additions) + "020101020108" + behind)


def decoded_bank(raw: bytes) -> rspro.ConnectBankReq:
    """The connectBankReq in ``bytes``."""
    message = decode_pdu(raw).msg
    assert isinstance(message, rspro.ConnectBankReq)
    return message


def test_abilities_stand_in_the_version() -> None:
    raw = pdu(0xA0, "30180a01021602766d800772656d73696d2d8106312e302b7835" + "020101020108")
    identity = decoded_bank(raw).identity
    assert (identity.sw_version, identity.abilities) == ("1.0+x5", ("echo.1", "slots.1"))
    assert encode_pdu(decode_pdu(raw)) == raw


def test_addresses_of_a_bankd() -> None:
    message = rspro.AddressesInd(
        (
            AdvertisedAddress(IpPort(IPv4Address("192.0.2.1"), 9999), AddressKind.PLAINTEXT),
            AdvertisedAddress(IpPort(IPv6Address("2001:db8::1"), 443), AddressKind.TLS),
            AdvertisedAddress(IpPort(IPv4Address("192.0.2.1"), 1), AddressKind(7)),
        )
    )
    raw = encode_pdu(RsproPdu(5, message))
    assert "bf2c40303e300f300a8004c00002010202270f0a0101" in raw.hex()
    assert decode_pdu(raw).msg == message


@pytest.mark.parametrize("addition", ["b400", "b4080c066563686f2e31", "9403616263", "bf2a00"])
def test_elements_behind_the_listed_ones_are_skipped(addition: str) -> None:
    raw = connect_bank(addition, behind=addition)
    assert decoded_bank(raw) == rspro.ConnectBankReq(IDENTITY, 1, 8)


@pytest.mark.parametrize(("alternative", "number"), [(0xB5, 21), (0x9E, 30), (0xBF3C, 60), (0xBF8148, 200)])
def test_unknown_alternative_keeps_its_number(alternative: int, number: int) -> None:
    assert decode_pdu(pdu(alternative, "")) == RsproPdu(5, UnknownMessage(number))


@pytest.mark.parametrize("alternative", [0x30, 0x02, 0x61, 0xE1, 0x7F28])
def test_alternative_of_another_class_is_refused(alternative: int) -> None:
    with pytest.raises(DecodeError, match="is no alternative"):
        decode_pdu(pdu(alternative, ""))


SLOT, RESULT = "3006020101020100", "0a0100"
ADDRESS_DER = bytes.fromhex("300e300980040a0000010201010a0100")


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        (pdu(0xA8, "300702010102020400"), "configClientIdReq.clientSlot.slotNr", "1024 is outside 0..1023"),
        (pdu(0xA8, "30060201010201ff"), "configClientIdReq.clientSlot.slotNr", "-1 is outside"),
        (pdu(0xA8, "30050201010200"), "configClientIdReq.clientSlot.slotNr", "integer of 0 bytes"),
        (pdu(0xA8, ""), "configClientIdReq.clientSlot", "clientSlot missing"),
        (pdu(0xA5, "0a00"), "createMappingRes.result", "integer of 0 bytes"),
        (pdu(0xAA, SLOT + "0400"), "setAtrReq.atr", "length 0 is outside 1..55"),
        (pdu(0xAA, SLOT + "0438" + "00" * 56), "setAtrReq.atr", "length 56 is outside 1..55"),
        (pdu(0xAA, SLOT + "240302013b"), "setAtrReq.atr", "string part with identifier 2"),
        (pdu(0xAE, SLOT + SLOT + "30028000"), "clientSlotStatusInd.slotPhysStatus.resetActive", "boolean of 0"),
        (pdu(0xB1, SLOT + "30088003c00002020101"), "configClientBankReq.bankd.ip", "of 3 bytes"),
        (pdu(0xB1, SLOT + "30098104c0000201020101"), "configClientBankReq.bankd.ip", "of 4 bytes"),
        (pdu(0xB3, "9403616263"), "resetStateReq", "1 unexpected elements"),
        (pdu(0xBF2A, "0101ff0101ff30030c0161"), "certifiedInd.clients", "entry with identifier C"),
        (pdu(0xBF2A, "0101ff0101ff30021600"), "certifiedInd.clients", "length 0 is outside 1..64"),
        (pdu(0xBF2A, "0101ff0101ff30031601ff"), "certifiedInd.clients", "illegal character"),
        (pdu(0xBF2C, ber.encode(0x30, ADDRESS_DER * 17).hex()), "addressesInd.addresses", "17 entries, 16 allowed"),
    ],
)
def test_error_names_field_alternative_and_tag(raw: bytes, field: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason) as caught:
        decode_pdu(raw)
    assert caught.value.field == field
    number = notation.NUMBER_BY_NAME[field.partition(".")[0]]
    assert (caught.value.alternative, caught.value.tag, caught.value.version) == (number, 5, 2)


@pytest.mark.parametrize(
    "raw",
    [
        pdu(0xA8, "300b0201010206313233343536"),
        pdu(0xA0, "30080a06313233343536"),
        pdu(0xAA, SLOT + "24051f8d8e0f00"),
        pdu(0x7F8D8E0F, ""),
    ],
)
def test_error_does_not_repeat_bytes_that_may_be_a_pin(raw: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_pdu(raw)
    assert "a large number" in str(caught.value) or "of many bytes" in str(caught.value)


def test_number_out_of_range_inside_a_slot_is_a_decode_error_of_the_slot() -> None:
    # Ranges are checked before the slot is built, so the error names the number.
    with pytest.raises(DecodeError, match=r"clientId: 1024 is outside 0\.\.1023"):
        decode_pdu(pdu(0xA8, "300702020400020100"))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "identifier missing"),
        ("3000", "no SEQUENCE of version, tag and msg"),
        ("3100", "no SEQUENCE of version, tag and msg"),
        ("0400", "no SEQUENCE of version, tag and msg"),
        ("300a810100800102a202b300", "no SEQUENCE of version, tag and msg"),
        ("300d800102810100a202b300830100", "no SEQUENCE of version, tag and msg"),
        ("300a800102810100a202b30000", "1 bytes behind the PDU"),
        ("300a800121810100a202b300", "version: 33 is outside 0..32"),
        ("3008800102810100a200", "exactly one alternative"),
        ("300c800102810100a204b300b300", "exactly one alternative"),
        ("300a8001028101008202b300", "no SEQUENCE of version, tag and msg"),
    ],
)
def test_frame_of_the_pdu_is_checked(raw: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason) as caught:
        decode_pdu(bytes.fromhex(raw))
    assert (caught.value.alternative, caught.value.tag, caught.value.version) == (None, None, 0)


def test_alternative_in_primitive_form_is_refused() -> None:
    with pytest.raises(DecodeError, match="resetStateReq: primitive form") as caught:
        decode_pdu(pdu(0x93, ""))
    assert caught.value.alternative == 19


def test_strings_may_be_nested_parts() -> None:
    raw = pdu(0xAA, SLOT + "248004013b240304019f0000")
    assert decode_pdu(raw).msg == rspro.SetAtrReq(CLIENT, b"\x3b\x9f")


def test_any_byte_but_zero_is_true() -> None:
    message = decode_pdu(pdu(0xAE, SLOT + SLOT + "3006800100830155")).msg
    assert isinstance(message, rspro.ClientSlotStatusInd)
    assert message.slot_phys_status == rspro.SlotPhysStatus(
        reset_active=False, vcc_present=None, clk_active=None, card_present=True
    )


def bank_req(
    *,
    identity: ComponentIdentity = IDENTITY,
    bank_id: int = 1,
) -> rspro.ConnectBankReq:
    """A connectBankReq with something wrong in it."""
    return rspro.ConnectBankReq(identity, bank_id, 8)


ADDRESS = AdvertisedAddress(IpPort(IPv4Address("192.0.2.1"), 1), AddressKind.TLS)
TPDU = rspro.TpduModemToCard(CLIENT, BANK, rspro.NO_FLAGS, bytes(5))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (bank_req(bank_id=1024), "connectBankReq.bankId: 1024 is outside"),
        (bank_req(identity=ComponentIdentity(ComponentType.REMSIM_BANKD, "", "b", "1")), "name: 0 is outside 1..32"),
        (bank_req(identity=ComponentIdentity(ComponentType.REMSIM_BANKD, "ü", "b", "1")), "cannot hold"),
        (rspro.AddressesInd((ADDRESS,) * 17), "addresses: 17 is outside 0..16"),
        (rspro.SetAtrReq(CLIENT, b""), "setAtrReq.atr: 0 is outside 1..55"),
        (rspro.ConfigClientBankReq(BANK, IpPort(IPv4Address(1), 65536)), "port: 65536 is outside"),
        (rspro.TpduModemToCard(CLIENT, BANK, rspro.NO_FLAGS, bytes(65536)), "data: 65536 is outside"),
    ],
)
def test_values_out_of_range_are_not_sent(message: Message, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason):
        encode_pdu(RsproPdu(0, message, version=1))


@pytest.mark.parametrize("message", [rspro.SetAtrRes(ResultCode.OK), TPDU])
@pytest.mark.parametrize("tag", [-1, 2**31])
def test_tag_out_of_range_is_not_sent(message: Message, tag: int) -> None:
    with pytest.raises(LocalProtocolError, match="tag: "):
        encode_pdu(RsproPdu(tag, message))


@pytest.mark.parametrize("message", [rspro.SetAtrRes(ResultCode.OK), TPDU])
@pytest.mark.parametrize("version", [-1, 33])
def test_version_out_of_range_is_not_sent(message: Message, version: int) -> None:
    with pytest.raises(LocalProtocolError, match="version: "):
        encode_pdu(RsproPdu(0, message, version))


def test_unknown_message_is_not_sent() -> None:
    with pytest.raises(LocalProtocolError, match="UnknownMessage cannot be sent"):
        encode_pdu(RsproPdu(0, UnknownMessage(40)))


def test_missing_mandatory_field_is_not_sent() -> None:
    message = rspro.SetAtrReq(None, b"\x3b\x00")  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match=r"setAtrReq\.slot is missing"):
        encode_pdu(RsproPdu(0, message))


def test_tpdu_of_another_version_takes_the_general_way() -> None:
    raw = encode_pdu(RsproPdu(7, TPDU, version=1))
    assert raw.hex().startswith("302f800101810107")
    assert decode_pdu(raw) == RsproPdu(7, TPDU, version=1)
