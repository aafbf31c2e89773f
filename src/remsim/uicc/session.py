# SPDX-License-Identifier: Apache-2.0
"""A powered card between two resets: what each logical channel has selected, and file contents as they stand.

Command handlers work on a ``Session``; they return data and status word, or raise RefusedError.
"""

from collections.abc import Callable
from typing import Final

from remsim.card.status import (
    SW_CORRECT_LENGTH,
    SW_DATA_INVALIDATED,
    SW_FILE_NOT_FOUND,
    SW_NO_EF_SELECTED,
    SW_SECURITY_NOT_SATISFIED,
    SW_WRONG_FILE_STRUCTURE,
)
from remsim.card.tpdu import CommandTpdu
from remsim.uicc.auth import Authenticator
from remsim.uicc.errors import RefusedError
from remsim.uicc.files import Access, Df, Ef, EfKind
from remsim.uicc.identity import SubscriberIdentity
from remsim.uicc.pins import Pins
from remsim.uicc.profile.model import Profile
from remsim.uicc.state import UiccState
from remsim.uicc.toolkit import Conversation

#: What a handler returns: data for the terminal and status word.
Answer = tuple[bytes, int]

_BASIC_CHANNEL: Final = 0


class Channel:
    """Selection state of one logical channel (ETSI TS 102 221, clause 8.4)."""

    __slots__ = ("app", "df", "ef", "number", "record", "retrieving", "storing")

    def __init__(self, number: int, df: Df) -> None:
        self.number = number
        self.df = df
        self.ef: Ef | None = None
        self.app: Df | None = None
        #: Current record, 0: not set.
        self.record = 0
        self.retrieving: Retrieval | None = None
        self.storing: tuple[Ef, bytearray] | None = None

    def select_df(self, df: Df) -> None:
        """Make ``df`` current; no EF is current then."""
        self.df, self.ef, self.record = df, None, 0
        if df.aid is not None:
            self.app = df

    def select_ef(self, ef: Ef) -> None:
        """Make ``ef`` and its directory current. The record pointer is unset, also when it was current before."""
        self.df, self.ef, self.record = ef.parent, ef, 0


class Retrieval:
    """Progress of RETRIEVE DATA: the object, and where the previous and the next block begin."""

    __slots__ = ("data", "position", "previous")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.previous = 0
        self.position = 0


class UiccSession:
    """The card's working memory."""

    def __init__(self, profile: Profile, state: UiccState, identity: SubscriberIdentity) -> None:
        self.profile = profile
        self.state = state
        self.mf = profile.files.mf
        self.pins = Pins(state, profile.pins)
        self.toolkit = Conversation(profile.toolkit)
        self.auth = Authenticator(profile.auth, state) if profile.auth is not None else None
        self.channels: dict[int, Channel] = {}
        #: The command being handled ends with 9000 although a proactive command waits (a quirk of the profile).
        self.is_quiet = False
        tokens = identity.tokens()
        self._personal = {
            key: b"".join(tokens[part] if isinstance(part, str) else part for part in parts)
            for key, parts in profile.personal.items()
        }
        self.reset()

    def reset(self) -> None:
        """Forget everything that does not survive a reset."""
        self.channels.clear()
        self.channels[_BASIC_CHANNEL] = Channel(_BASIC_CHANNEL, self.mf)
        self.pins.reset()
        self.toolkit.reset()

    # Contents

    def content(self, ef: Ef) -> bytes:
        """All bytes of a file that is not BER-TLV."""
        content = self.state.files.get(ef.key)
        if content is None:
            content = self._personal.get(ef.key)
        return ef.content if content is None else content

    def write(self, ef: Ef, offset: int, data: bytes) -> None:
        """Overwrite a part; the caller has checked that it lies in the file."""
        content = self.content(ef)
        changed = content[:offset] + data + content[offset + len(data) :]
        if changed != content:
            self.state.files[ef.key] = changed
            self.state.changed()

    def objects(self, ef: Ef) -> dict[int, bytes]:
        """Data objects of a BER-TLV file by tag; not to be changed in place."""
        return self.state.objects.get(ef.key, ef.objects)

    def is_active(self, ef: Ef) -> bool:
        """Whether the file is not deactivated."""
        return ef.key not in self.state.deactivated

    # Checks

    def require(self, access: Access) -> None:
        """Raises RefusedError (6982) unless the access condition is fulfilled."""
        if not self.pins.grants(access):
            raise RefusedError(SW_SECURITY_NOT_SATISFIED)

    def current_ef(self, channel: Channel, sfi: int, *kinds: EfKind) -> Ef:
        """The EF a command works on: by ``sfi``, which makes it current, or the current one for 0.

        Raises RefusedError if there is none, its structure is none of ``kinds``, or it is deactivated.
        """
        if sfi:
            ef = channel.df.by_sfi.get(sfi)
            if ef is None:
                raise RefusedError(SW_FILE_NOT_FOUND)
            if ef is not channel.ef:
                channel.select_ef(ef)
        else:
            current = channel.ef
            if current is None:
                raise RefusedError(SW_NO_EF_SELECTED)
            ef = current
        if ef.kind not in kinds:
            raise RefusedError(SW_WRONG_FILE_STRUCTURE)
        if self.state.deactivated and ef.key in self.state.deactivated:
            raise RefusedError(SW_DATA_INVALIDATED)
        return ef


#: A command handler.
Handler = Callable[[UiccSession, Channel, CommandTpdu], Answer]


def require_le(command: CommandTpdu, length: int) -> None:
    """Raises RefusedError (6Cxx with the right length) unless exactly ``length`` bytes are expected.

    ETSI TS 102 221, clause 7.3.1.1.5: the terminal repeats the command with that P3, so nothing may have changed yet.
    """
    if command.le != length:
        raise RefusedError(SW_CORRECT_LENGTH | length & 0xFF)
