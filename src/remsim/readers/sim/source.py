# SPDX-License-Identifier: Apache-2.0
"""Readers with software cards in them, in this process: no hardware, no thread, no waiting.

Cards can be pulled and inserted, readers unplugged and plugged, by the owner of the ``SimSource``. Knows nothing of
banks: slot numbers here only make names and identities differ.
"""

import asyncio
from pathlib import Path
from typing import Final

from remsim.readers.base import CardReader, Done, Presence, PresenceEvent, PresenceListener, ReaderSource
from remsim.readers.errors import CardAbsentError, CardMuteError, ReaderUnavailableError
from remsim.readers.sim.profiles import load_profile
from remsim.readers.sim.store import StoredCard, check_cryptography, state_path
from remsim.uicc import Profile, Uicc

_NAME: Final = "remsim sim {:02d}"


class SimReader(CardReader):
    """One reader of a ``SimSource``."""

    def __init__(
        self,
        name: str,
        index: int,
        profile: Profile,
        state_path: Path | None,
        *,
        is_fresh: bool,
        card_time_s: float = 0.0,
    ) -> None:
        self.name = name
        self.presence = Presence.PRESENT
        self._index = index
        self._profile = profile
        self._state_path = state_path
        self._is_fresh = is_fresh
        self._card_time_s = card_time_s
        self._card: StoredCard | None = None
        self._is_powered = False
        # The answer that is due once the card's time is over.
        self._answer: asyncio.Handle | None = None

    @property
    def uicc(self) -> Uicc:
        """The card itself, for tests and demonstrations. Raises ReaderUnavailableError if its state is unusable."""
        return self._stored().uicc

    @property
    def atr(self) -> bytes:
        """The ATR that this card will give."""
        return self._profile.atr

    def _stored(self) -> StoredCard:
        # Cards are made when first used: a bank may have a thousand slots and few cards in use.
        if self._card is None:
            identity = self._profile.identity.derive(self._index)
            self._card = StoredCard(self._profile, identity, self._state_path, is_fresh=self._is_fresh)
        return self._card

    def set_presence(self, presence: Presence) -> None:
        """Pull or insert the card, unplug or plug the reader. A card that went away has lost its power."""
        self.presence = presence
        if presence is not Presence.PRESENT:
            self._is_powered = False

    def _check_present(self) -> None:
        if self.presence is Presence.UNKNOWN:
            raise ReaderUnavailableError(f"reader {self.name!r} is unplugged")
        if self.presence is Presence.ABSENT:
            raise CardAbsentError(f"no card in reader {self.name!r}")

    async def open(self) -> bytes:
        """Power the card up."""
        self._check_present()
        atr = self._stored().uicc.cold_reset()
        self._is_powered = True
        return atr

    async def cold_reset(self) -> bytes:
        """Take VCC away and give it back."""
        return await self.open()

    async def warm_reset(self) -> bytes:
        """Pulse RST. Raises CardMuteError if the card has no power."""
        return self._powered().uicc.warm_reset()

    async def transmit(self, tpdu: bytes) -> bytes:
        """Answer at once, or after the card's time."""
        response = self._powered().transmit(tpdu)
        if self._card_time_s:
            await asyncio.sleep(self._card_time_s)
        return response

    def submit(self, tpdu: bytes, done: Done) -> bytes | None:
        """Answer at once, or after the card's time."""
        response = self._powered().transmit(tpdu)
        if not self._card_time_s:
            return response
        self._answer = self.later(self._card_time_s, done, response)
        return None

    @staticmethod
    def later(delay_s: float, done: Done, response: bytes) -> asyncio.Handle:
        """Call back after the card's time. The loop's timers count in milliseconds; a measurement may know better."""
        return asyncio.get_running_loop().call_later(delay_s, done, response)

    def _powered(self) -> StoredCard:
        if not self._is_powered or self._card is None:
            self._check_present()
            raise CardMuteError(f"the card in reader {self.name!r} has no power")
        return self._card

    async def close(self) -> None:
        """Power off."""
        self._is_powered = False
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None


class SimSource(ReaderSource):
    """``slots`` readers with a software card each.

    ``profile`` names a shipped profile or a profile file; of several, separated by commas, the last one serves all
    further slots. ``state_dir`` keeps what the cards remember, without it they forget when this object goes.
    ``fresh`` starts every card anew, whatever is stored. ``card_time_s`` is what a card takes for a command, where it
    shall take as long as real ones do. Raises ProfileError.
    """

    def __init__(
        self,
        *,
        slots: int = 1,
        profile: str = "default",
        state_dir: Path | str | None = None,
        fresh: bool = False,
        card_time_s: float = 0.0,
    ) -> None:
        profiles = [load_profile(name.strip()) for name in profile.split(",")]
        folder = None if state_dir is None else Path(state_dir)
        self._readers: dict[str, SimReader] = {}
        self._listeners: list[PresenceListener] = []
        for index in range(slots):
            name = _NAME.format(index)
            path = None if folder is None else state_path(folder, index)
            chosen = profiles[min(index, len(profiles) - 1)]
            self._readers[name] = SimReader(name, index, chosen, path, is_fresh=fresh, card_time_s=card_time_s)

    async def start(self) -> None:
        """Check that the cards can work here. Raises ReaderUnavailableError."""
        check_cryptography()

    async def names(self) -> list[str]:
        """Readers that are plugged in."""
        return [name for name, reader in self._readers.items() if reader.presence is not Presence.UNKNOWN]

    def watch(self, listener: PresenceListener) -> None:
        """Tell ``listener`` what is there, and every change from now on. Needs a running event loop."""
        self._listeners.append(listener)
        loop = asyncio.get_running_loop()
        for reader in self._readers.values():
            loop.call_soon(self._tell, listener, _event(reader))

    def reader(self, name: str) -> SimReader:
        """The reader of that name. Raises ReaderUnavailableError for a name that this source never gives."""
        reader = self._readers.get(name)
        if reader is None:
            raise ReaderUnavailableError(
                f"there is no software reader {name!r}", hint=f"known are the first {len(self._readers)}"
            )
        return reader

    async def stop(self) -> None:
        """Forget the listeners and power all cards off."""
        self._listeners.clear()
        for reader in self._readers.values():
            await reader.close()

    def remove_card(self, name: str) -> None:
        """Pull the card out."""
        self._set(name, Presence.ABSENT)

    def insert_card(self, name: str) -> None:
        """Put the card back."""
        self._set(name, Presence.PRESENT)

    def unplug_reader(self, name: str) -> None:
        """Take the reader away with its card."""
        self._set(name, Presence.UNKNOWN)

    def plug_reader(self, name: str) -> None:
        """Bring the reader back with its card."""
        self._set(name, Presence.PRESENT)

    def _set(self, name: str, presence: Presence) -> None:
        reader = self.reader(name)
        reader.set_presence(presence)
        if not self._listeners:
            return
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.call_soon(self._tell, listener, _event(reader))

    def _tell(self, listener: PresenceListener, event: PresenceEvent) -> None:
        # Called later, when the source may have been stopped.
        if listener in self._listeners:
            listener(event)


def _event(reader: SimReader) -> PresenceEvent:
    atr = reader.atr if reader.presence is Presence.PRESENT else None
    return PresenceEvent(reader.name, reader.presence, atr)
