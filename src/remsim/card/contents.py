# SPDX-License-Identifier: Apache-2.0
"""What the content of a well-known file means, in words for the person who reads it.

Whatever a card answers, there is an answer here of bounded length: content that does not fit its file has no words.
Sources: ETSI TS 102 221, clause 13; 3GPP TS 31.102, clause 4.2; 3GPP TS 31.103, clause 4.2; 3GPP TS 51.011, clause 10.
"""

from collections.abc import Callable, Mapping
from typing import Final

from remsim.card.errors import TlvError
from remsim.card.filenames import application_name
from remsim.card.iccid import decode_iccid
from remsim.card.identity import alpha_text, decode_imsi
from remsim.card.selection import MF, Path
from remsim.card.service_tables import ENABLED_SERVICES, ISIM_SERVICES, SIM_SERVICES, USIM_SERVICES
from remsim.card.tlv import parse_tlvs

_DF_GSM: Final = 0x7F20
_UNUSED: Final = 0xFF

#: EF.AD, first byte (3GPP TS 31.102, clause 4.2.18).
_OPERATION_MODES: Final = {
    0x00: "normal operation",
    0x80: "type approval operations",
    0x01: "normal operation and specific facilities",
    0x81: "type approval operations and specific facilities",
    0x02: "maintenance",
    0x04: "cell test operation",
}


def describe_contents(path: Path | None, data: bytes) -> list[str]:
    """Words for the whole content, or one record, of the file at ``path``; none if it is not known here."""
    decoder = None if path is None else _decoder(path)
    return [] if decoder is None or not data else decoder(data)


def _decoder(path: Path) -> Callable[[bytes], list[str]] | None:
    file, directory = path[-1], path[:-1]
    if directory == (MF,):
        return {0x2FE2: _iccid, 0x2F00: _application}.get(file) if isinstance(file, int) else None
    if not isinstance(file, int):
        return None
    if directory == (MF, _DF_GSM):
        return _IN_GSM.get(file) or _IN_BOTH.get(file)
    if directory == ("ADF.USIM",):
        return _IN_USIM.get(file) or _IN_BOTH.get(file)
    if directory == ("ADF.ISIM",):
        return _IN_ISIM.get(file)
    return None


def _iccid(data: bytes) -> list[str]:
    number = decode_iccid(data)
    return [] if number is None else [f"ICCID {number}"]


def _imsi(data: bytes) -> list[str]:
    digits = decode_imsi(data)
    return [] if digits is None else [f"IMSI {digits}"]


def _spn(data: bytes) -> list[str]:
    shows_network = "shown" if data[0] & 0x01 else "not shown"
    return [f"service provider name {alpha_text(data[1:])!r}, the network's name is {shows_network} at home"]


def _ad(data: bytes) -> list[str]:
    mode = _OPERATION_MODES.get(data[0], f"mode {data[0]:02X}")
    return [f"{mode}, MNC of {data[3] & 0x0F} digits" if len(data) > 3 else mode]


def _acc(data: bytes) -> list[str]:
    bits = int.from_bytes(data[:2])
    classes = [str(number) for number in range(16) if bits >> number & 1]
    return [f"access classes {', '.join(classes) or 'none'}"] if len(data) == 2 else []


def _plmns(data: bytes) -> list[str]:
    found = [_plmn(data[start : start + 3]) for start in range(0, len(data) - 2, 3)]
    return [f"networks {', '.join(name for name in found if name) or 'none'}"]


def _plmn(code: bytes) -> str:
    """``MCC-MNC`` (3GPP TS 24.008, 10.5.1.13); empty for an entry that is not used."""
    nibbles = "".join(f"{byte & 0x0F:X}{byte >> 4:X}" for byte in code)
    mcc, mnc = nibbles[:3], (nibbles[4:] + nibbles[3]).rstrip("F")
    return "" if code[0] == _UNUSED else f"{mcc}-{mnc}"


def _application(data: bytes) -> list[str]:
    """A record of EF.DIR (ETSI TS 102 221, clause 13.1)."""
    if data[0] == _UNUSED:
        return ["no application"]
    try:
        # Behind the template a record is filled up with FF.
        length = 2 + data[1] if len(data) > 1 else 0
        (template,) = parse_tlvs(data[:length])
        fields = {tlv.tag: tlv.value for tlv in parse_tlvs(template.value)}
    except (TlvError, ValueError):
        return []
    if template.tag != 0x61 or 0x4F not in fields:
        return []
    aid = fields[0x4F]
    label = f", {alpha_text(fields[0x50])!r}" if 0x50 in fields else ""
    return [f"{application_name(aid)}, AID {aid.hex().upper()}{label}"]


def _services(names: Mapping[int, str]) -> Callable[[bytes], list[str]]:
    """A bit for each service."""

    def describe(data: bytes) -> list[str]:
        numbers = [number for number in range(1, 8 * len(data) + 1) if data[(number - 1) // 8] >> (number - 1) % 8 & 1]
        return _listed(numbers, names)

    return describe


def _sim_services(data: bytes) -> list[str]:
    """Two bits for each service: allocated, and activated."""
    states = {number: data[(number - 1) // 4] >> 2 * ((number - 1) % 4) & 3 for number in range(1, 4 * len(data) + 1)}
    active = [number for number, state in states.items() if state == 3]
    idle = [str(number) for number, state in states.items() if state == 1]
    return [*_listed(active, SIM_SERVICES), *([f"allocated, not activated: {', '.join(idle)}"] if idle else [])]


def _listed(numbers: list[int], names: Mapping[int, str]) -> list[str]:
    return [f"service {number:>3} {names.get(number, '')}".rstrip() for number in numbers] or ["no service"]


_IN_BOTH: Final[dict[int, Callable[[bytes], list[str]]]] = {
    0x6F07: _imsi,
    0x6F46: _spn,
    0x6FAD: _ad,
    0x6F78: _acc,
    0x6F7B: _plmns,
    0x6FD9: _plmns,
}
_IN_USIM: Final = {0x6F38: _services(USIM_SERVICES), 0x6F56: _services(ENABLED_SERVICES)}
_IN_GSM: Final = {0x6F38: _sim_services}
_IN_ISIM: Final = {0x6F07: _services(ISIM_SERVICES), 0x6FAD: _ad}
