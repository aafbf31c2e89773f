# SPDX-License-Identifier: Apache-2.0
"""Captures of all slots of a program, in one folder: masked in the event loop, written by a thread.

A disk that is slow or full stops no card: what cannot be written is lost, counted, and said once.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from remsim.background import Background
from remsim.captures.rolling import Rolling, RollingCapture
from remsim.logs import Logger
from remsim.trace.gsmtap import AtrRecord, TpduMark, TpduRecord, TraceRecord
from remsim.trace.mask import TraceMask
from remsim.trace.outlet import DoneCommand, command_id_text
from remsim.trace.pcapng import CapturePacket, refusal_words

#: Packets that wait for the disk: several seconds of a busy bank, and some 4 MB.
MAX_WAITING: Final = 10_000
_BATCH: Final = 500
#: A packet is in its file so soon, and a process that is killed loses no more than that.
GATHER_S: Final = 0.05
#: After a failure the disk is left alone for so long.
RETRY_S: Final = 10.0
#: Files that are open at a time.
MAX_OPEN: Final = 64
#: At the end of the program the disk gets this long.
STOP_S: Final = 3.0
_ORIGINS: Final = {TpduMark.GUESS: "guess", TpduMark.RESTORE: "restore", TpduMark.INVENTORY: "inventory"}


class SlotCaptures:
    """A ``CommandOutlet``; ``stop`` it. ``clock`` gives seconds since 1970, ``monotonic`` is for waiting.

    ``has_guesses``: commands that no modem has sent are among the packets, too, marked as in GSMTAP.
    """

    def __init__(
        self,
        folder: Path,
        limits: Rolling,
        *,
        log: Logger,
        has_guesses: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._log = log
        self._has_guesses = has_guesses
        self._clock = clock
        self._monotonic = monotonic
        self._mask = TraceMask()
        self._numbers: dict[str, int] = {}
        #: Packets that are in their files, and those that the disk did not take.
        self.written = self.failed = 0
        # The thread's: the files by slot, those used last at the end.
        self._files: OrderedDict[str, RollingCapture] = OrderedDict()
        self._idle: dict[str, RollingCapture] = {}
        self._next_try = 0.0
        self._is_failing = False
        self._queue = Background[tuple[str, CapturePacket]](
            "captures", self._write, most=MAX_WAITING, batch=_BATCH, gather_s=GATHER_S
        )

    @property
    def lost(self) -> int:
        """Packets that are in no file."""
        return self.failed + self._queue.dropped

    def stop(self) -> None:
        """Write what waits, if the disk takes it, and close all files. Blocks for a moment."""
        self._queue.stop(STOP_S)
        for file in self._files.values():
            file.close()

    # CommandOutlet

    def on_command(self, done: DoneCommand) -> None:
        """GSMTAP has no place for a command without an answer."""
        number = self._number(done.slot)
        if done.response is None:
            # The card may have done it all the same.
            self._mask.on_unknown_card(number)
            return
        record = TpduRecord(number, done.tpdu, done.response, done.mark, was_run=done.was_run)
        shown = self._mask(record)
        if done.mark is TpduMark.MODEM or self._has_guesses:
            self._put(done.slot, shown, _comment(done))

    def on_atr(self, slot: str, atr: bytes) -> None:
        """One packet."""
        self._put(slot, AtrRecord(self._number(slot), atr), slot)

    def on_reset(self, slot: str) -> None:
        """Of importance for what is masked."""
        self._mask.on_reset(self._number(slot))

    def on_unknown_card(self, slot: str) -> None:
        """Likewise."""
        self._mask.on_unknown_card(self._number(slot))

    def _number(self, slot: str) -> int:
        """What the mask calls a slot."""
        return self._numbers.setdefault(slot, len(self._numbers))

    def _put(self, slot: str, record: TraceRecord, comment: str) -> None:
        self._queue.put((slot, CapturePacket(self._clock(), record, comment)))

    # In the thread

    def _write(self, packets: list[tuple[str, CapturePacket]]) -> None:
        for slot, packet in packets:
            if self._is_failing and self._monotonic() < self._next_try:
                self.failed += 1
                continue
            try:
                self._file(slot).write(packet)
            except OSError as error:
                self.failed += 1
                self._on_failure(error)
            else:
                self.written += 1
                if self._is_failing:
                    self._is_failing = False
                    self._log.info("captures_resumed", folder=str(self._folder), lost=self.lost)

    def _on_failure(self, error: OSError) -> None:
        self._next_try = self._monotonic() + RETRY_S
        if not self._is_failing:
            self._is_failing = True
            reason = error.strerror or str(error)
            self._log.warning("captures_stopped", folder=str(self._folder), reason=reason, retry_s=RETRY_S)

    def _file(self, slot: str) -> RollingCapture:
        file = self._files.get(slot)
        if file is None:
            known = self._idle.pop(slot, None)
            file = known or RollingCapture(self._folder, slot, self._limits, now=self._clock)
            self._files[slot] = file
        self._files.move_to_end(slot)
        if len(self._files) > MAX_OPEN:
            # It goes on in the same file when there is something for it again.
            oldest = next(iter(self._files))
            self._idle[oldest] = self._files.pop(oldest)
            self._idle[oldest].rest()
        return file


def _comment(done: DoneCommand) -> str:
    """What GSMTAP has no place for, in words."""
    whose = "modem" if done.slot.startswith("C") else "card"
    spent = "" if done.spent_s is None else f"{whose} {done.spent_s * 1000:.3g} ms"
    bank = done.slot if done.slot.startswith("B") else done.other
    slots = f"{done.slot} {done.other}".rstrip()
    answer = "" if done.response is None else refusal_words(done.response)
    parts = [slots, _ORIGINS.get(done.mark, "modem"), answer, spent, command_id_text(bank, done.command_id)]
    return ", ".join(part for part in parts if part)
