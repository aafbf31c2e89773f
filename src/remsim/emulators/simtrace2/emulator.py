# SPDX-License-Identifier: Apache-2.0
"""A SIMtrace2, sysmoQMOD or relative as a client slot: what USB brings goes to the slot's state machine, and back.

Decides nothing about commands and lines (``card`` does) and does no USB itself (behind ``usb``). Keeps
the device: what is away is waited for, what comes back is brought to the state that was wanted.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from remsim.card.apdu_case import AS_TABLES_SAY, CommandRules
from remsim.card.atr_policy import fit_for_emulation
from remsim.card.errors import AtrError
from remsim.config import parse_settings
from remsim.config.simtrace2 import SimtraceSettings
from remsim.core.errors import StartError
from remsim.core.executor import ActionExecutor
from remsim.emulators.base import CardEmulator, EmulatorEvents, Hardware, PpsResult
from remsim.emulators.simtrace2.actions import (
    Action,
    BoardReady,
    DropUnsent,
    Fact,
    FactKind,
    ForwardTpdu,
    SendBulk,
    ShowLines,
    ShowSpeed,
)
from remsim.emulators.simtrace2.boards import VERSION_STRING
from remsim.emulators.simtrace2.card import SimtraceCard
from remsim.emulators.simtrace2.find import AmbiguousDeviceError, DeviceError, Found, Selector, choose, find
from remsim.emulators.simtrace2.log import UNKNOWN, SlotLog, UnknownCommands
from remsim.emulators.simtrace2.stream import StreamFault, encode_transfer
from remsim.emulators.simtrace2.transfers import BoardHandler, UsbTransfers
from remsim.emulators.simtrace2.usb import TransferEnd, UsbBus, UsbListener, UsbPort
from remsim.logs import get_logger
from remsim.net.runtime.tasks import TaskOwner

#: A device that is away is looked for when something was plugged in, and after this time in any case: a permission
#: that was given, or an interface that another program has left, is no change of what is plugged in.
RETRY_S: Final = 5.0
#: A device that failed may be about to restart.
FAILURE_PAUSE_S: Final = 1.0
#: How long the last messages may take when the slot stops.
STOP_WAIT_S: Final = 1.0


def selector_of(settings: SimtraceSettings) -> Selector:
    """Which interface the settings mean."""
    return Selector(
        vendor_id=settings.vendor,
        product_id=settings.product,
        path=settings.path,
        address=settings.address,
        serial=settings.serial,
        interface=settings.interface,
        configuration=settings.config,
        alternate=settings.altsetting,
    )


class SimtraceEmulator(CardEmulator, UsbListener, BoardHandler):
    """One client slot on one interface."""

    #: The firmware sends NULL bytes until it has the answer.
    stalls = True
    kind = "simtrace2"

    def __init__(self, settings: SimtraceSettings, bus: UsbBus) -> None:
        self._settings = settings
        self._selector = selector_of(settings)
        self._bus = bus
        self._log = get_logger("simtrace2")
        self._events: EmulatorEvents | None = None
        self._tasks: TaskOwner | None = None
        self._card: SimtraceCard | None = None
        self._made_for: tuple[object, int] | None = None
        self._port: UsbPort | None = None
        self._transfers: UsbTransfers | None = None
        self._lost = asyncio.Event()
        self._reason = ""
        self._sent_all = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._executor = ActionExecutor[Action](self._performers(), on_failure=self._on_failure, after=self._set_alarm)
        self._rules = AS_TABLES_SAY
        self._unknown = UnknownCommands()
        self._slot_log = SlotLog(self._log, self._unknown)
        self._atr: bytes | None = None
        self._is_inserted = False
        self._is_remote = False

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # Life

    async def start(self, events: EmulatorEvents) -> None:
        """Take the interface, or wait until it can be taken.

        Raises StartError if libusb is missing, or if the settings fit several interfaces.
        """
        self._events = events
        with suppress(DeviceError):
            try:
                choose(self._bus.devices(), self._selector)
            except AmbiguousDeviceError as error:
                raise StartError(str(error), hint=error.hint) from None
        self._tasks = await TaskOwner("simtrace2", log=self._log).__aenter__()
        self._tasks.vital(self._keep_device(), name="device")

    async def stop(self) -> None:
        """Show the modem no card, give it its own, and let go of the interface."""
        self._events = None
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return
        transfers = self._transfers
        if self._card is not None and transfers is not None:
            self._perform(self._card.stop(self._now()))
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_WAIT_S):
                    # The device may go meanwhile.
                    while transfers is self._transfers and not transfers.is_idle:
                        self._sent_all.clear()
                        await self._sent_all.wait()
        tasks.cancel()
        await tasks.__aexit__(None, None, None)

    async def _keep_device(self) -> None:
        complaint = ""
        while True:
            try:
                found = choose(self._bus.devices(), self._selector)
                port = self._bus.open(found, self)
            except DeviceError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    self._log.warning("device_not_usable", reason=complaint, hint=error.hint)
                    self._show_hardware(Hardware(is_present=False, description=complaint))
                await self._bus.wait_change(RETRY_S)
                continue
            complaint = ""
            try:
                await self._use(found, port)
            finally:
                self._set_timer(None)
                self._port = self._transfers = None
                await port.close()
            await asyncio.sleep(0 if self._reason == TransferEnd.GONE.value else FAILURE_PAUSE_S)

    async def _use(self, found: Found, port: UsbPort) -> None:
        """Run the slot on this interface until it is lost."""
        self._log = get_logger("simtrace2").bind(path=found.device.path, interface=found.slot.number)
        self._slot_log = SlotLog(self._log, self._unknown)
        self._lost.clear()
        card = self._card_for(found)
        self._port = port
        self._transfers = transfers = UsbTransfers(port, found.slot, self)
        transfers.open()
        self._log.info("device_opened", board=found.board.name, serial=found.device.serial)
        self._show_hardware(Hardware(is_present=True, description=str(found), board=found.board.name))
        self._perform(card.start(self._now()))
        version = await port.read_string(VERSION_STRING)
        self._log.info("device_firmware", version=version or "unknown")
        if version and self._events is not None:
            self._events.on_firmware(version)
        await self._lost.wait()
        self._transfers = None
        self._log.warning("device_lost", reason=self._reason)
        self._perform(card.on_unplugged(self._now()))
        self._show_hardware(Hardware(is_present=False, description=self._reason))

    def _card_for(self, found: Found) -> SimtraceCard:
        """The slot's state machine; another board, or other firmware, needs a new one with the same wishes."""
        made_for = (found.board, found.slot.interval_ms)
        if self._card is None or self._made_for != made_for:
            self._card = card = SimtraceCard(
                found.board,
                mux_slot=self._settings.mux,
                is_presence_high=None if self._settings.presence is None else self._settings.presence == "high",
                rules=self._rules,
                is_one_message=self._settings.one_message,
                interval_ms=found.slot.interval_ms,
                # An answer to a command of the old one must not be taken for an answer to one of the new.
                first_generation=0 if self._card is None else self._card.t0.generation,
            )
            self._made_for = made_for
            now = self._now()
            if self._atr is not None:
                self._perform(card.set_atr(self._atr, now))
            if self._is_inserted:
                self._perform(card.insert_card(now))
            if self._is_remote:
                self._perform(card.select_sim(now, is_remote=True))
        return self._card

    def _show_hardware(self, hardware: Hardware) -> None:
        if self._events is not None:
            self._events.on_hardware(hardware)

    # CardEmulator

    def set_command_rules(self, rules: CommandRules) -> None:
        """The direction of commands is decided here."""
        self._rules = rules

    def set_atr(self, atr: bytes) -> None:
        """The bank's ATR as far as hardware can keep it."""
        try:
            self._atr = fit_for_emulation(atr)
        except AtrError as error:
            # The modem may still make something of it; if it is too long, the state machine refuses it.
            self._log.warning("atr_is_none", reason=str(error), atr=atr)
            self._atr = atr
        if self._card is not None:
            self._perform(self._card.set_atr(self._atr, self._now()))

    def insert_card(self) -> None:
        """Where the board has a presence contact."""
        self._is_inserted = True
        if self._card is not None:
            self._perform(self._card.insert_card(self._now()))

    def remove_card(self) -> None:
        """Where the board has a presence contact."""
        self._is_inserted = False
        if self._card is not None:
            self._perform(self._card.remove_card(self._now()))

    def select_sim(self, *, remote: bool) -> None:
        """Enables the emulator on every board; moves a switch where there is one."""
        self._is_remote = remote
        if self._card is not None:
            self._perform(self._card.select_sim(self._now(), is_remote=remote))

    def reset_modem(self) -> None:
        """Pulse its reset line, where the board has one."""
        if self._card is not None:
            self._perform(self._card.reset_modem(self._now()))

    def hold_modem_reset(self, *, is_held: bool) -> None:
        """Assert the modem's reset line until it is released, where the board has one."""
        if self._card is not None:
            self._perform(self._card.hold_modem_reset(self._now(), is_held=is_held))

    def respond(self, number: int, response: bytes) -> None:
        """Answer the command of that number, which is its generation."""
        if self._card is not None:
            self._perform(self._card.on_answer(number, response, self._now()))

    def abort(self, number: int, reason: str) -> None:
        """The modem gets a status word that says so."""
        if self._card is not None:
            self._perform(self._card.on_no_answer(number, reason, self._now()))

    # UsbListener

    def on_in(self, endpoint: int, end: TransferEnd, data: bytes) -> None:
        """A packet came."""
        if self._transfers is not None:
            self._transfers.on_in(endpoint, end, data)
            self._set_timer(self._deadline())

    def on_out(self, end: TransferEnd, taken: int) -> None:
        """The device has taken a message."""
        if self._transfers is not None:
            self._transfers.on_out(end, taken, self._now())
            self._set_timer(self._deadline())
            self._sent_all.set()

    def on_failure(self, reason: str) -> None:
        """libusb gave up."""
        if self._transfers is not None:
            self._transfers.lose(reason)

    # BoardHandler

    def on_bulk(self, item: bytes | StreamFault) -> None:
        """A message of the device."""
        self._count_limit(item)
        if self._card is not None:
            self._perform(self._card.on_bulk(item, self._now()))

    def on_interrupt(self, item: bytes | StreamFault) -> None:
        """A change of the lines."""
        self._count_limit(item)
        if self._card is not None:
            self._perform(self._card.on_interrupt(item, self._now()))

    def _count_limit(self, item: bytes | StreamFault) -> None:
        if isinstance(item, StreamFault) and item.limit is not None and self._events is not None:
            self._events.on_limit(item.limit)

    def on_sent(self, generation: int) -> None:
        """The device has taken a message of a command."""
        if self._card is not None:
            self._card.on_sent(generation)

    def on_trouble(self, reason: str) -> None:
        """A transfer failed and is tried again."""
        self._slot_log.say("usb_transfer_failed", is_warning=True, reason=reason)

    def on_lost(self, reason: str) -> None:
        """The interface is of no use any more."""
        self._reason = reason
        self._lost.set()
        self._sent_all.set()

    # Actions

    def _performers(self) -> dict[type, Callable[..., None]]:
        return {
            SendBulk: self._send,
            DropUnsent: self._drop_unsent,
            ForwardTpdu: self._forward,
            ShowLines: self._show_lines,
            ShowSpeed: self._show_speed,
            BoardReady: self._tell_ready,
            Fact: self._tell_fact,
        }

    def _perform(self, actions: list[Action]) -> None:
        self._executor.run(actions)

    def _set_alarm(self) -> None:
        self._set_timer(self._deadline())

    def _on_failure(self, action: Action, error: Exception) -> None:
        self._log.error("internal_error", action=type(action).__name__, exc_info=error)

    def _send(self, action: SendBulk) -> None:
        if self._transfers is not None:
            self._transfers.send(encode_transfer(action.message), action.generation, self._now())

    def _drop_unsent(self, action: DropUnsent) -> None:
        if self._transfers is not None:
            self._transfers.drop(action.generation)

    def _forward(self, action: ForwardTpdu) -> None:
        if self._events is not None:
            self._events.on_tpdu(action.generation, action.tpdu)

    def _tell_ready(self, action: BoardReady) -> None:
        self._log.info("device_ready", lines=action.status.flags.name or "none")

    def _tell_fact(self, fact: Fact) -> None:
        self._slot_log.tell(fact)
        if fact.kind in UNKNOWN and self._events is not None:
            self._events.on_unknown_command(is_refused=fact.kind is FactKind.UNKNOWN_COMMAND)

    def _show_lines(self, action: ShowLines) -> None:
        lines = action.lines
        kind = {} if action.reset is None else {"reset": action.reset.value}
        voltage = {"millivolt": action.millivolt} if action.millivolt else {}
        self._log.debug("modem_lines", vcc=lines.vcc_present, rst_active=lines.reset_active, **kind, **voltage)
        if self._events is not None:
            self._events.on_lines(lines)

    def _show_speed(self, action: ShowSpeed) -> None:
        speed = action.speed
        say = self._log.debug if action.is_applied else self._log.warning
        say("modem_speed", f_index=speed.f_index, d_index=speed.d_index, is_applied=action.is_applied)
        if self._events is not None:
            self._events.on_pps(PpsResult(speed.f_index, speed.d_index))

    # Time

    def _deadline(self) -> float | None:
        if self._transfers is None or self._card is None:
            return None
        deadlines = (self._card.next_deadline(), self._transfers.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _set_timer(self, deadline: float | None) -> None:
        if self._timer is not None and (deadline is None or self._timer_at is None or deadline < self._timer_at):
            self._timer.cancel()
            self._timer = None
        # A timer that comes too early is set again then: most deadlines go by unused.
        if deadline is not None and self._timer is None:
            self._timer_at = deadline
            self._timer = asyncio.get_running_loop().call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._transfers is not None and self._card is not None:
            now = max(self._now(), self._timer_at or 0.0)
            self._transfers.handle_timer(now)
            self._perform(self._card.handle_timer(now))


def found_settings(bus: UsbBus, claimed: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Settings for each emulator slot that is plugged in and that none of the ``claimed`` settings fits.

    Raises ConfigError if those cannot be used, DeviceError, StartError.
    """
    devices = bus.devices()
    taken = [
        one
        for settings in claimed
        for one in find(devices, selector_of(parse_settings(SimtraceSettings, settings, where="settings")))
    ]
    free = [one for one in find(devices, Selector()) if one not in taken]
    return [{"path": one.device.path, "interface": one.slot.number} for one in free]


def make_simtrace2(settings: Mapping[str, object]) -> CardEmulator:
    """The registry's factory. Raises ConfigError."""
    from remsim.emulators.simtrace2.libusb import LibusbBus

    return SimtraceEmulator(parse_settings(SimtraceSettings, settings, where="settings"), LibusbBus())
