# SPDX-License-Identifier: Apache-2.0
"""How libusb's events get into the event loop: its descriptors are watched by the loop, or a thread waits for them.

The loop is the rule: no thread, no hand-over, nothing to wake up for when nothing happens. Where the loop cannot watch
the descriptors (epoll refuses what is no device, as emulated ones are not) a thread takes over. Users of the pump
see no difference: ``post`` is for libusb's callbacks, and what was posted is done in the loop's thread, outside of
libusb. Callbacks must do nothing else: an exception in one is lost.
"""

import asyncio
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import usb1

#: How long the thread waits at a time; it is woken up when it is to end.
_THREAD_WAIT_S: Final = 60.0


class EventPump:
    """The events of one libusb context, from ``start`` to ``stop``."""

    def __init__(self, context: "usb1.USBContext", on_failure: Callable[[str], None]) -> None:
        """``on_failure`` is called in the loop, at most once, when libusb cannot handle its events any more."""
        self._context = context
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._posted: deque[Callable[[], None]] = deque()
        self._descriptors: set[int] = set()
        self._is_refused = False
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    @property
    def has_thread(self) -> bool:
        """Whether a thread waits for the events."""
        return self._thread is not None

    def start(self) -> None:
        """Let the loop watch. Call it before anything is opened, and ``settle`` afterwards."""
        self._context.setPollFDNotifiers(self._on_added, self._on_removed)
        for descriptor, events in self._context.getPollFDList():
            self._on_added(descriptor, events, None)

    def settle(self) -> None:
        """All is open: stay with the loop if it could watch everything, else start the thread."""
        if self._is_refused and self._thread is None:
            # From now on libusb would tell of its descriptors in that thread, where nobody may touch the loop.
            self._context.setPollFDNotifiers()
            self._unwatch()
            self._thread = threading.Thread(target=self._run, name="USB events", daemon=True)
            self._thread.start()

    def post(self, work: Callable[[], None]) -> None:
        """From a callback of libusb: do ``work`` in the loop, outside of libusb."""
        self._posted.append(work)

    def stop(self) -> None:
        """Handle no more events. What was posted is forgotten."""
        self._is_stopping = True
        if self._thread is not None:
            self._context.interruptEventHandler()
            self._thread.join()
            self._thread = None
        self._context.setPollFDNotifiers()
        self._unwatch()
        self._posted.clear()

    # The loop watches

    def _on_added(self, descriptor: int, events: int, _user_data: object) -> None:
        """Called by libusb, perhaps from within a call of ours; must not raise."""
        if self._is_refused:
            return
        self._descriptors.add(descriptor)
        try:
            if events & select.POLLIN:
                self._loop.add_reader(descriptor, self._on_ready)
            if events & select.POLLOUT:
                self._loop.add_writer(descriptor, self._on_ready)
        except OSError:
            self._is_refused = True

    def _on_removed(self, descriptor: int, _user_data: object) -> None:
        self._descriptors.discard(descriptor)
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)

    def _unwatch(self) -> None:
        for descriptor in tuple(self._descriptors):
            self._on_removed(descriptor, None)

    def _on_ready(self) -> None:
        self._handle(0)
        self._drain()

    # A thread waits

    def _run(self) -> None:
        while not self._is_stopping:
            self._handle(_THREAD_WAIT_S)
            if self._posted and not self._is_stopping:
                self._loop.call_soon_threadsafe(self._drain)

    # Both

    def _handle(self, wait_s: float) -> None:
        import usb1

        try:
            self._context.handleEventsTimeout(wait_s)
        except usb1.USBErrorInterrupted:
            return
        except usb1.USBError as error:
            reason = f"libusb cannot handle its events: {error}"
            self._is_stopping = True
            self._loop.call_soon_threadsafe(self._on_failure, reason)

    def _drain(self) -> None:
        while self._posted:
            self._posted.popleft()()
