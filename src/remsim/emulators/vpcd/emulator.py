# SPDX-License-Identifier: Apache-2.0
"""The client as a card in a virtual PC/SC reader: any PC/SC program on this host uses the remote card.

The reader is vsmartcard's vpcd. A connection to it is a card in the reader, so there is one exactly while the bank's
card is there. A command that cannot be answered is answered 6F00, and the connection ended when pcscd looks next: the
program sees the card removed, and after the re-insertion the card starts from a cold reset.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from remsim.config import VpcdSettings, parse_settings
from remsim.core.episode import OncePerEpisode
from remsim.emulators.base import CardEmulator, EmulatorEvents
from remsim.emulators.vpcd.slot import CloseReader, Forward, Odd, Reply, ShowContacts, Step, VpcdSlot
from remsim.logs import get_logger
from remsim.net.runtime.tasks import TaskOwner
from remsim.vpcd import VpcdLink

_FIRST_RETRY_S: Final = 0.1
#: pcscd may end when nobody uses it and be started again by the next program: the card must be there soon after.
_LAST_RETRY_S: Final = 1.0
#: pcscd looks for a card twice a second; by then it has understood that this one is gone.
_LEAVE_S: Final = 1.0
#: pcscd looks for a card twice a second. In a reader that has a card already, nobody ever asks a second one.
_SILENCE_S: Final = 5.0


class VpcdEmulator(CardEmulator):
    """One client slot in one virtual reader."""

    kind = "vpcd"

    def __init__(self, settings: VpcdSettings) -> None:
        self._settings = settings
        self._log = get_logger("vpcd").bind(address=str(settings.vpcd))
        self._slot = VpcdSlot(auto_get_response=settings.auto_get_response)
        self._events: EmulatorEvents | None = None
        self._tasks: TaskOwner | None = None
        self._inserted = asyncio.Event()
        self._link: VpcdLink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._goodbye: asyncio.TimerHandle | None = None
        self._odd: OncePerEpisode[str] = OncePerEpisode()
        #: Of the newest command that went to the card; an answer to an older one is of no use.
        self._number = 0

    # Life

    async def start(self, events: EmulatorEvents) -> None:
        """Nothing has to be there yet: vpcd is waited for as soon as there is a card."""
        self._events = events
        self._tasks = await TaskOwner("vpcd", log=self._log).__aenter__()
        self._tasks.vital(self._keep_card(), name=str(self._settings.vpcd))

    async def stop(self) -> None:
        """Pull the card."""
        self._events = None
        self.remove_card()
        self._hang_up()
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return
        link = self._link
        tasks.cancel()
        await tasks.__aexit__(None, None, None)
        if link is not None:
            await link.wait_closed()

    async def _keep_card(self) -> None:
        delay_s, last_trouble = _FIRST_RETRY_S, ""
        while True:
            await self._inserted.wait()
            try:
                await self._hold_card()
                delay_s, last_trouble = _FIRST_RETRY_S, ""
            except OSError as error:
                trouble = str(error) or "no answer"
                if trouble != last_trouble:
                    self._log.warning("vpcd_away", reason=trouble, hint="is pcscd running, with vpcd configured?")
                last_trouble = trouble
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _LAST_RETRY_S)

    async def _hold_card(self) -> None:
        """Be in the reader until somebody ends the connection. Raises OSError if there is no reader."""
        # A message may come before ``connect`` returns.
        self._link = link = VpcdLink(self._on_message)
        try:
            await link.connect(self._settings.vpcd)
            if self._inserted.is_set():
                self._odd = OncePerEpisode()
                self._log.info("reader_connected")
                self._silence = asyncio.get_running_loop().call_later(_SILENCE_S, self._on_silence)
            else:
                link.close()
            await link.wait_closed()
        finally:
            self._link = None
            self._stop_timers()
            if self._goodbye is not None:
                self._goodbye.cancel()
        if self._inserted.is_set() and not self._slot.is_leaving:
            self._log.warning("reader_lost", hint="check whether pcscd has ended; the card is put back when it runs")
        self._do(self._slot.on_lost())

    def _on_silence(self) -> None:
        self._silence = None
        self._log.warning("reader_silent", hint="does another program hold a card in this reader?")

    def _stop_timers(self) -> None:
        for timer in (self._timer, self._silence):
            if timer is not None:
                timer.cancel()
        self._timer = self._silence = None

    # Reader

    def _on_message(self, body: bytes) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        self._do(self._slot.on_message(body))

    def _do(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Reply():
                    self._stop_timers()
                    if self._link is not None:
                        self._link.send(step.body)
                case Forward():
                    self._start_timer()
                    self._number += 1
                    if self._events is not None:
                        self._events.on_tpdu(self._number, step.tpdu)
                case ShowContacts():
                    self._stop_timers()
                    if self._events is not None:
                        self._events.on_lines(step.lines)
                case Odd():
                    if self._odd.begins(step.reason):
                        self._log.warning("odd_message", reason=step.reason, raw=step.size)
                case CloseReader():
                    self._hang_up()

    def _start_timer(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._settings.answer_timeout_s, self._on_timeout)

    def _on_timeout(self) -> None:
        self._timer = None
        self._log.warning("command_timed_out", after_s=self._settings.answer_timeout_s)
        self._leave()

    def _leave(self) -> None:
        """Let the card be pulled, without a program that takes the end of the connection for an answer."""
        if self._link is None or self._slot.is_leaving:
            return
        self._do(self._slot.leave())
        self._goodbye = asyncio.get_running_loop().call_later(_LEAVE_S, self._hang_up)

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()

    # CardEmulator

    def set_atr(self, atr: bytes) -> None:
        """What vpcd is told from now on; programs see it after the next reset."""
        self._slot.atr = atr

    def insert_card(self) -> None:
        """Connect to vpcd, now or as soon as it is there."""
        self._inserted.set()

    def remove_card(self) -> None:
        """Leave the reader, with an answer to the command in progress."""
        self._inserted.clear()
        self._leave()

    def respond(self, number: int, response: bytes) -> None:
        """Answer vpcd, or go on with what the answer asks for."""
        if number != self._number:
            return
        steps = self._slot.on_response(response)
        if any(isinstance(step, Forward) for step in steps):
            # Events are not reported from within a call on the emulator.
            asyncio.get_running_loop().call_soon(self._do_if_busy, steps)
        else:
            self._do(steps)

    def _do_if_busy(self, steps: list[Step]) -> None:
        if self._slot.is_busy:
            self._do(steps)

    def abort(self, number: int, reason: str) -> None:
        """Answer 6F00 and leave the reader; whether the card has executed the command is unknown."""
        if number == self._number:
            self._leave()


def make_vpcd(settings: Mapping[str, object]) -> CardEmulator:
    """The registry's factory."""
    return VpcdEmulator(parse_settings(VpcdSettings, settings, where="settings"))
