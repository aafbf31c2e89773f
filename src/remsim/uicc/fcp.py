# SPDX-License-Identifier: Apache-2.0
"""What SELECT and STATUS tell about a file: FCP template (ETSI TS 102 221, clause 11.1.1.3) and, for class A0, the
header of 3GPP TS 51.011, clause 9.2.1."""

from typing import Final

from remsim.card.errors import TlvError
from remsim.card.tlv import encode_tlv, parse_tlvs
from remsim.uicc.files import MF_FID, Access, Df, Ef, EfKind, SfiStyle
from remsim.uicc.pins import Pins

_LCS_ACTIVATED: Final = 0x05
_LCS_DEACTIVATED: Final = 0x04

#: File descriptor byte, clause 11.1.1.4.3: shareable working EF, or DF.
_DESCRIPTOR_DF: Final = 0x78
_DESCRIPTORS: Final = {
    EfKind.TRANSPARENT: 0x41,
    EfKind.LINEAR: 0x42,
    EfKind.CYCLIC: 0x46,
    EfKind.BER_TLV: 0x79,
}
_DATA_CODING: Final = 0x21

_GSM_STRUCTURES: Final = {EfKind.TRANSPARENT: 0, EfKind.LINEAR: 1, EfKind.CYCLIC: 3, EfKind.BER_TLV: 0}
_GSM_ACCESS: Final = {Access.ALWAYS: 0, Access.PIN1: 1, Access.PIN2: 2, Access.ADM: 4, Access.NEVER: 15}
_GSM_DF_LENGTH: Final = 23

#: UICC characteristics in the MF's proprietary template (clause 11.1.1.4.6.1), and their bits for voltages.
_CHARACTERISTICS_TAG: Final = 0x80
_CLASS_B, _CLASS_C = 0x20, 0x40
#: 3GPP TS 51.011, clause 9.2.1: a card for 3 V, and one for 3 V and 1.8 V.
_GSM_3_VOLT, _GSM_1_8_VOLT = 0x10, 0x30


def ef_fcp(ef: Ef, *, is_active: bool) -> bytes:
    """The FCP template of an EF."""
    descriptor = bytes((_DESCRIPTORS[ef.kind], _DATA_CODING))
    if ef.record_length:
        descriptor += ef.record_length.to_bytes(2) + bytes((ef.record_count,))
    size = ef.size.to_bytes(2)
    value = encode_tlv(0x82, descriptor) + encode_tlv(0x83, ef.fid.to_bytes(2))
    if ef.proprietary:
        value += encode_tlv(0xA5, ef.proprietary)
    value += encode_tlv(0x8A, bytes((_LCS_ACTIVATED if is_active else _LCS_DEACTIVATED,)))
    value += encode_tlv(0x8B, ef.parent.arr_fid.to_bytes(2) + bytes((ef.rule.number,)))
    value += encode_tlv(0x80, size) + encode_tlv(0x81, size)
    if ef.sfi_style is SfiStyle.VALUE and ef.sfi is not None:
        value += encode_tlv(0x88, bytes((ef.sfi << 3,)))
    elif ef.sfi_style is SfiStyle.NONE:
        value += encode_tlv(0x88, b"")
    return encode_tlv(0x62, value)


def df_fcp(df: Df, pins: Pins) -> bytes:
    """The FCP template of MF, DF or ADF, with the PIN status of this moment."""
    value = encode_tlv(0x82, bytes((_DESCRIPTOR_DF, _DATA_CODING))) + encode_tlv(0x83, df.fid.to_bytes(2))
    if df.aid is not None:
        value += encode_tlv(0x84, df.aid)
    if df.proprietary:
        value += encode_tlv(0xA5, df.proprietary)
    value += encode_tlv(0x8A, bytes((_LCS_ACTIVATED,)))
    value += encode_tlv(0x8B, df.arr_fid.to_bytes(2) + bytes((df.rule,)))
    value += encode_tlv(0xC6, _pin_status(df, pins))
    if df.size is not None:
        value += encode_tlv(0x81, df.size.to_bytes(2))
    return encode_tlv(0x62, value)


def _pin_status(df: Df, pins: Pins) -> bytes:
    """PS_DO: a bit per key reference, the first one highest, set if enabled; then the references."""
    bits = 0
    for position, reference in enumerate(df.pins):
        if pins.state_of(reference).is_enabled:
            bits |= 0x80 >> position
    return encode_tlv(0x90, bytes((bits,))) + b"".join(encode_tlv(0x83, bytes((reference,))) for reference in df.pins)


def gsm_df_header(df: Df, pins: Pins) -> bytes:
    """Answer of class A0 to SELECT and STATUS for MF and DF."""
    children = list(df.children.values())
    directories = sum(isinstance(child, Df) for child in children)
    chv1, chv2 = pins.state_of(0x01), pins.state_of(0x81)
    out = bytearray(_GSM_DF_LENGTH)
    out[2:4] = b"\xff\xff"
    out[4:6] = df.fid.to_bytes(2)
    out[6] = 1 if df.fid == MF_FID else 2
    out[12] = _GSM_DF_LENGTH - 13
    # Byte 14: bit 8 set means CHV1 disabled; then voltages, and clock stop allowed, no preference, 13/4 MHz.
    out[13] = 0x01 | _gsm_voltages(df) | (0x00 if chv1.is_enabled else 0x80)
    out[14] = directories
    out[15] = len(children) - directories
    out[16] = 4
    # Bytes 19 to 22: bit 8 says that the secret is initialised, the low nibble counts tries.
    out[18:22] = bytes(0x80 | tries for tries in (chv1.tries, chv1.puk_tries, chv2.tries, chv2.puk_tries))
    return bytes(out)


def _gsm_voltages(df: Df) -> int:
    """The voltages of byte 14: those that the FCP of the MF names; 3 V where it names none."""
    while df.parent is not None:
        df = df.parent
    try:
        found = [tlv.value for tlv in parse_tlvs(df.proprietary) if tlv.tag == _CHARACTERISTICS_TAG]
    except TlvError:
        found = []
    if not found or len(found[0]) != 1:
        return _GSM_3_VOLT
    classes = found[0][0]
    return _GSM_1_8_VOLT if classes & _CLASS_C else _GSM_3_VOLT if classes & _CLASS_B else 0


def gsm_ef_header(ef: Ef, *, is_active: bool) -> bytes:
    """Answer of class A0 to SELECT of an EF."""
    rule = ef.rule
    out = bytearray(15)
    out[2:4] = ef.size.to_bytes(2)
    out[4:6] = ef.fid.to_bytes(2)
    out[6] = 4
    # Byte 8, bit 7: INCREASE is allowed.
    out[7] = 0x40 if ef.kind is EfKind.CYCLIC and rule.increase is not Access.NEVER else 0x00
    out[8] = _GSM_ACCESS[rule.read] << 4 | _GSM_ACCESS[rule.update]
    out[9] = _GSM_ACCESS[rule.increase] << 4 | 0x0F
    out[10] = _GSM_ACCESS[rule.manage] << 4 | _GSM_ACCESS[rule.manage]
    out[11] = 1 if is_active else 0
    out[12] = 2
    out[13] = _GSM_STRUCTURES[ef.kind]
    out[14] = ef.record_length
    return bytes(out)
