# SPDX-License-Identifier: Apache-2.0
"""Whether a reader exchanges TPDUs, as a SIM needs it, or APDUs, and what is done then.

A reader at APDU level shows itself by fetching response data on its own. From then on it is served through
``card.t0_over_apdu``. It is judged anew each time that its card is powered up: readers differ in that by card and by
firmware. No command is ever repeated.
"""

from collections.abc import Generator

from remsim.card.errors import TpduError
from remsim.card.t0_over_apdu import T0OverApdu, shows_apdu_level
from remsim.logs import get_logger
from remsim.readers.errors import CardTransmissionError


class ReaderLevel:
    """The level of one reader. No I/O."""

    __slots__ = ("_adapter", "_is_told", "_reader")

    def __init__(self, reader: str) -> None:
        self._reader = reader
        self._adapter: T0OverApdu | None = None
        self._is_told = False

    @property
    def is_apdu(self) -> bool:
        """The reader has shown, since the card was powered up, that it exchanges APDUs."""
        return self._adapter is not None

    def forget(self) -> None:
        """The card was opened: the reader is judged anew."""
        self._adapter = None

    def reset(self) -> None:
        """The card was reset: what was kept of its data is gone."""
        if self._adapter is not None:
            self._adapter.reset()

    def exchange(self, tpdu: bytes) -> Generator[bytes, bytes, bytes]:
        """Yield what the reader is to be given, take its answers; return the response TPDU.

        Raises CardTransmissionError if the answers make no sense.
        """
        if self._adapter is None:
            return self.judge(tpdu, (yield tpdu))
        try:
            return (yield from self._adapter.exchange(tpdu))
        except TpduError as error:
            raise self._nonsense(error) from None

    def judge(self, tpdu: bytes, response: bytes) -> bytes:
        """The response TPDU for what a reader answered that has not shown its level before. Raises as ``exchange``."""
        if not shows_apdu_level(tpdu, response):
            return response
        self._adapter = T0OverApdu()
        if not self._is_told:
            self._is_told = True
            text = "it fetches response data by itself; we keep the data until the modem asks for it"
            get_logger("readers").info("reader_at_apdu_level", reader=self._reader, text=text)
        try:
            return self._adapter.answer(tpdu, response)
        except TpduError as error:
            raise self._nonsense(error) from None

    def _nonsense(self, error: TpduError) -> CardTransmissionError:
        return CardTransmissionError(f"reader {self._reader!r}: {error}")
