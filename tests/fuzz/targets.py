# SPDX-License-Identifier: Apache-2.0
"""All targets by name: every parser of bytes that come from outside, and what it may raise.

Knows no fuzzer: ``tests/property/test_targets.py`` plays them over the corpus and over what hypothesis draws, and
``tests.fuzz.guided`` lets atheris look for what nobody has thought of.
"""

from typing import Final

from remsim.ahead.library import LearntError
from remsim.card.errors import ApduCaseError, AtrError, PpsError, TlvError, TpduError
from remsim.core.errors import ConfigError, IdRangeError
from remsim.core.identity import IdentityError
from remsim.emulators.errors import BoardFrameError as UsbFrameError
from remsim.pki.enrolment_service import EnrolmentServiceError
from remsim.pki.errors import CertificateError, EnrolmentError
from remsim.policy.fields import PolicyError
from remsim.rest.errors import RestApiError
from remsim.server.api.errors import ApiError
from remsim.server.core.card_choice import CardChoiceError
from remsim.server.core.labels import LabelError
from remsim.uicc.errors import ProfileError, StateError
from remsim.wire.errors import DecodeError
from tests.fuzz import on_card, on_files, on_pcscd, on_proofs, on_rest, on_traces, on_usb, on_wire
from tests.fuzz.target import Target

_JSON: Final = (b'{"', b'":', b"[]", b"null", b"true", b"1e999", b"\\ud800")
_TOML: Final = (b" = ", b"[[", b"]]\n", b'"""', b"true", b"\n", b"'", b"{", b"}", b"1979-05-27", b"0x", b"nan")
_RULES: Final = (*_TOML, b'"1-5"', b'"*"', b"banks", b"clients", b"slots", b"[[rule]]", b"[[client]]", b"[presets]")

TARGETS: Final[dict[str, Target]] = {
    # From peers.
    "frames": Target(on_wire.frames, words=(b"\xee\x07", b"\0\1\xfe\0")),
    "elements": Target(on_wire.elements, (DecodeError,), words=(b"\x80", b"\0\0", b"\x1f\x81", b"\x84\xff\xff")),
    "pdus": Target(on_wire.pdus, (DecodeError,), longest=1024, plays_a_second=2000),
    "links": Target(on_wire.links, longest=1024, plays_a_second=1000),
    "sessions": Target(on_wire.sessions, longest=1024, plays_a_second=1000),
    "fast-codec": Target(on_wire.fast_codec, longest=340),
    "list-parts": Target(on_wire.list_parts),
    "told-traces": Target(on_traces.told_traces, (DecodeError,), longest=1024, plays_a_second=1500),
    # From modems, cards and readers.
    "traces": Target(on_traces.traces, plays_a_second=500),
    "cut-captures": Target(on_traces.cut_captures, longest=300),
    "atrs": Target(on_card.atrs, (AtrError,), longest=40),
    "commands": Target(on_card.commands, longest=270),
    "exchanges": Target(on_card.exchanges, (TpduError,)),
    "directions": Target(on_card.directions, (ApduCaseError,), longest=40),
    "speeds": Target(on_card.speeds, (PpsError,), longest=10),
    "objects": Target(on_card.objects, (TlvError,)),
    "reader-frames": Target(on_card.reader_frames),
    "reader-slots": Target(on_card.reader_slots),
    "ahead": Target(on_card.ahead, plays_a_second=300),
    "pcscd-replies": Target(on_pcscd.pcscd_replies, longest=1024, plays_a_second=500),
    "masks": Target(on_card.masks, plays_a_second=1500),
    "typed-lines": Target(on_card.typed_lines, longest=100, words=(b"0x", b"00 20 00 01 08", b", ")),
    "scrubbed-texts": Target(on_card.scrubbed_texts, plays_a_second=2000, words=(b"[1, 2, 3, 4]", b"remsim_", b"b'")),
    "card-numbers": Target(on_card.card_numbers, longest=300),
    "card-identities": Target(on_card.card_identities, longest=600),
    "input-lines": Target(on_card.input_lines, plays_a_second=2000, words=(b"\r\n", b"0x")),
    "guards": Target(on_card.guards, plays_a_second=1000),
    "cards": Target(on_card.cards, longest=1024, plays_a_second=600),
    # From USB devices.
    "usb-messages": Target(on_usb.usb_messages, (UsbFrameError,), longest=300),
    "usb-packets": Target(on_usb.usb_packets, longest=600),
    "usb-slots": Target(on_usb.usb_slots, longest=1024, plays_a_second=600),
    # From files.
    "settings": Target(on_files.settings, (ConfigError,), longest=2048, plays_a_second=800, words=_TOML),
    "slot-lines": Target(
        on_files.slot_lines, (ConfigError,), longest=2048, words=(b'"', b"[[:alpha:]]", b"(", b"{1,2}")
    ),
    "slot-memory": Target(on_files.slot_memory, (ConfigError,), words=_JSON),
    "certified-lists": Target(on_files.certified_lists, words=(*_JSON, b"client/")),
    "mapping-rules": Target(on_files.mapping_rules, (PolicyError,), longest=1024, words=_RULES),
    "guard-rules": Target(on_files.guard_rules, (PolicyError,), longest=1024, plays_a_second=500, words=_RULES),
    "profiles": Target(on_files.profiles, (ProfileError,), longest=12_000, plays_a_second=150, words=_TOML),
    "card-states": Target(on_files.card_states, (StateError,), longest=4096, plays_a_second=1000, words=_JSON),
    "captures": Target(
        on_files.captures, (ConfigError,), longest=1024, words=(*_JSON, b"TX Data = {", b"RX Data = {", b"TPDU: ")
    ),
    "starts": Target(on_files.starts, (ConfigError,), longest=1024, words=(*_JSON, bytes.fromhex("12790002"))),
    "recordings": Target(on_files.recordings, (ConfigError,), words=_JSON),
    "learnt": Target(on_files.learnt, (LearntError,), words=(b"remsim-ahead 1\n", b" atr 3b", b"00b0000001 ")),
    # From callers of REST, and from its server.
    "rest-cursors": Target(on_rest.cursors, (ApiError,), longest=210, words=(b"WzEs", b"WyJ")),
    "rest-orders": Target(on_rest.orders, (ApiError, CardChoiceError), words=(*_JSON, b"card", b"iccid:", b"label:")),
    "rest-subjects": Target(on_rest.subjects, (LabelError,), longest=60, words=(b"iccid:", b"B1:", b"C7:")),
    "event-streams": Target(
        on_rest.event_streams, (RestApiError,), longest=1024, words=(b"id: ", b"data: ", b"event: ", b"\n\n")
    ),
    # From peers that claim an identity.
    "certificates": Target(on_proofs.certificates, (CertificateError,), longest=1024),
    "revocation-lists": Target(on_proofs.revocation_lists, (CertificateError,), longest=1024),
    "pem-texts": Target(on_proofs.pem_texts, (CertificateError,), words=(b"-----BEGIN CERTIFICATE-----\n",)),
    "identities": Target(on_proofs.identities, (IdentityError, IdRangeError), longest=100),
    "enrolment-codes": Target(on_proofs.enrolment_codes, (EnrolmentError,), longest=160),
    "token-headers": Target(on_proofs.token_headers, longest=120, words=(b"Bearer ", b"remsim_")),
    "session-cookies": Target(on_proofs.session_cookies, longest=200, words=(b"__Host-remsim-9997=", b"; ", b'"\\')),
    "enrolments": Target(on_proofs.enrolments, (EnrolmentServiceError,), longest=2048, words=_JSON),
}

#: No parser of ours: by its fault it shows that faults are found.
PLANTED: Final = "planted"
_PLANTED: Final = Target(
    on_proofs.planted, (IdentityError, IdRangeError), longest=40, words=(b"bank/", b"1"), plays_a_second=40_000
)


def target_named(name: str) -> Target:
    """One of all targets, or the planted one."""
    return _PLANTED if name == PLANTED else TARGETS[name]
