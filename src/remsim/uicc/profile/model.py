# SPDX-License-Identifier: Apache-2.0
"""What a card is made as: file system, keys, PINs, toolkit, and in what it differs from the specifications.

Values only; ``profile.toml`` reads them from text. One profile serves any number of cards.
"""

from dataclasses import field

from remsim.core.values import dataclass
from remsim.uicc.files import FileSystem
from remsim.uicc.identity import SubscriberIdentity


@dataclass(frozen=True, slots=True)
class PinSpec:
    """One PIN of a fresh card: eight bytes each, padded with FF (ETSI TS 102 221, clause 9.5.1)."""

    pin: bytes
    puk: bytes
    is_enabled: bool = True
    tries: int = 3
    puk_tries: int = 10


@dataclass(frozen=True, slots=True)
class AuthSpec:
    """MILENAGE parameters (3GPP TS 35.206) and the checks of 3GPP TS 33.102, annex C."""

    ki: bytes
    opc: bytes
    #: Highest SEQ accepted so far on a fresh card.
    seq: int = 0
    ind_bits: int = 5
    #: Largest jump of SEQ that is accepted (33.102, C.2.1).
    delta: int = 1 << 28
    #: Length of RES in bytes, 4..8.
    res_length: int = 8
    #: Service 27: the answer in the 3G context carries Kc for GSM access.
    has_gsm_access: bool = True


@dataclass(frozen=True, slots=True)
class MenuItem:
    """An entry of the toolkit menu; choosing it makes the card display ``text``."""

    identifier: int
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolkitProfile:
    """Proactive commands that follow TERMINAL PROFILE, ready to FETCH, and the menu behind SET UP MENU."""

    commands: tuple[bytes, ...] = ()
    menu: tuple[MenuItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where a card answers otherwise than the specifications say, or has to because data was removed."""

    #: ``manage-channel``, ``select-aid``: these end with 9000 although a proactive command is pending.
    no_91xx_after: frozenset[str] = frozenset()
    #: Status word of SEARCH RECORD without a match; 6282 by the book.
    search_no_match_sw: int = 0x6282
    #: AUTHENTICATE with nothing but zeros, as published recordings have it in place of a challenge, is answered as
    #: a good one for RAND = 0, without a check of MAC and SQN.
    accept_blank_challenge: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """What a card is made of."""

    name: str
    summary: str
    atr: bytes
    files: FileSystem
    pins: dict[int, PinSpec]
    identity: SubscriberIdentity = field(default_factory=SubscriberIdentity)
    #: Contents that depend on the identity: content key to template (see ``profile.toml``).
    personal: dict[str, tuple[bytes | str, ...]] = field(default_factory=dict)
    auth: AuthSpec | None = None
    toolkit: ToolkitProfile = field(default_factory=ToolkitProfile)
    quirks: Quirks = field(default_factory=Quirks)
    #: Logical channels including the basic one.
    channels: int = 4
