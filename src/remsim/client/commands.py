# SPDX-License-Identifier: Apache-2.0
"""The commands of ``remsim client``: shell, script, run and vpcd.

Each imports its emulator at its beginning, because a process runs one command: the others' take a tenth of its start.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from remsim.client.core.notices import Notice, NoticeKind, in_words
from remsim.client.metrics import ClientMetrics
from remsim.client.observer import ClientObserver, CutCounter
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService, Frontend, Reread
from remsim.config import (
    ClientConfig,
    ClientRunConfig,
    ClientSlotConfig,
    ClientVpcdConfig,
    DaemonConfig,
    default_state_dir,
)
from remsim.core.errors import ConfigError, RemsimError, StartError
from remsim.core.ids import ClientSlot
from remsim.emulators.driven import DrivenEmulator, NoCardError
from remsim.emulators.registry import make_emulator
from remsim.net.runtime.process import run_service

if TYPE_CHECKING:
    from remsim.emulators.script.player import Progress
    from remsim.emulators.script.recording import Step

#: What a person at the shell is told as it happens; insertion and removal the console tells by itself.
_SENTENCES: Final = {
    NoticeKind.SERVER_CONNECTED: "connected to server {}",
    NoticeKind.SERVER_REFUSED: "the server refuses us: {}",
    NoticeKind.SERVER_LOST: "the server is lost, the card stays in use: {}",
    NoticeKind.IDENTITY: "the server made this client slot {}",
    NoticeKind.BANKD_GIVEN: "mapped, the bankd is at {}",
    NoticeKind.BANKD_TAKEN: "not mapped now",
    NoticeKind.STATE_RESET: "the server ordered a reset",
    NoticeKind.BANKD_CONNECTED: "connected to bankd {}",
    NoticeKind.BANKD_REFUSED: "the bankd refuses us: {}",
    NoticeKind.BANKD_WAITS: "connected to the bankd, which has no card for us yet: {}",
    NoticeKind.BANKD_LOST: "the bankd is lost: {}",
    NoticeKind.PEER_ERROR: "a peer reports: {}",
    NoticeKind.SERVER_SAYS: "mapped, but there is no way to the bankd: {}",
    NoticeKind.ATR_MISSING: "the bankd sent no ATR, this one is shown instead: {}",
}


def _say_nothing(_error: RemsimError) -> None:
    return


def _print_error(error: RemsimError) -> None:
    """For a program that reads JSON."""
    sys.stdout.write(json.dumps(error.as_object()) + "\n")
    sys.stdout.flush()


def shell(config: ClientConfig) -> int:
    """Run the shell and return the exit status.

    With a terminal on both sides it is interactive, and ends with 0. Without one it speaks the classic shell's lines:
    0 when every line was answered, 1 when a line was no command or a command got no answer, 3 when no card came.
    Raises StartError without standard input or output.
    """
    from remsim.emulators.shell.plain import PlainShell

    if sys.stdin is None or sys.stdout is None:
        raise StartError("standard input or output is closed", hint="the shell reads commands and writes answers there")
    emulator = DrivenEmulator()
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _interactive_shell(config, emulator)
    about = _SlotWatcher()
    plain = PlainShell(
        emulator,
        sys.stdin.fileno(),
        sys.stdout,
        sys.stderr,
        card_wait_s=config.card_wait_s,
        why_no_card=about.why_no_card,
    )
    return run_frontend(config, emulator, plain.run, on_made=about.attach)


def script(
    config: ClientConfig,
    file: Path,
    *,
    literal: bool = False,
    as_json: bool = False,
    repeat: int = 1,
    check: bool = False,
    dump: Path | None = None,
) -> int:
    """Play a recording, report on stdout, and return the exit status.

    0: played; 1: a command got no answer, or with ``check`` an answer was not as recorded; 3: no card came. Raises
    ConfigError if the recording or an option is wrong, StartError if ``dump`` cannot be written.
    """
    from remsim.emulators.script.player import ScriptPlayer
    from remsim.emulators.script.recording import load_recording

    if repeat < 1:
        raise ConfigError(f"--repeat {repeat}: at least 1 is needed")
    steps = load_recording(file)
    with contextlib.ExitStack() as stack:
        player = ScriptPlayer(
            emulator := DrivenEmulator(),
            steps,
            literal=literal,
            repeat=repeat,
            card_wait_s=config.card_wait_s,
            dump=None if dump is None else stack.enter_context(_open_dump(dump)),
            progress=_progress(stack, steps, repeat),
        )

        cuts = CutCounter()

        async def frontend() -> int:
            await player.run()
            cuts.stop()
            return 0

        is_watched = sys.stderr.isatty()
        on_error = _print_error if as_json else _say_nothing
        services: list[ClientService] = []
        chosen = _quiet(config) if is_watched else config
        status = run_frontend(chosen, emulator, frontend, observer=cuts, on_error=on_error, on_made=services.append)
    if status != 0:
        return status
    from remsim.client.report import write_json, write_table

    write = write_json if as_json else write_table
    latency = services[0].slots[0].coordinator.latency
    write(player.outcome, cuts, file=str(file), output=sys.stdout, latency=latency)
    return int(check and player.outcome.has_mismatch)


def run_frontend(
    config: ClientConfig,
    emulator: DrivenEmulator,
    frontend: Frontend,
    *,
    observer: ClientObserver | None = None,
    on_made: Callable[[ClientService], None] = lambda _service: None,
    on_error: Callable[[RemsimError], None] = _say_nothing,
) -> int:
    """Run one slot in a process of its own until ``frontend`` is done; return its exit status, or that of an error.

    ``on_error`` is called with what ends the frontend, besides the line for a person on stderr.
    """
    services: list[ClientService] = []
    metrics = ClientMetrics()

    async def explained_frontend() -> int:
        try:
            try:
                return await frontend()
            except NoCardError as error:
                raise NoCardError(str(error), hint=services[0].slots[0].why_no_card()) from None
        except RemsimError as error:
            on_error(error)
            raise

    def make() -> ClientService:
        spec = SlotSpec(config, emulator, observer or ClientObserver())
        services.append(ClientService([spec], frontend=explained_frontend, metrics=metrics))
        on_made(services[0])
        return services[0]

    status = run_service(make, config=config, metrics=metrics)
    return status or services[0].exit_status


class _SlotWatcher(ClientObserver):
    """Tells the person at the shell what happens, and answers what the shell asks about the slot."""

    def __init__(self) -> None:
        self.service: ClientService | None = None
        self.say: Callable[[str], None] = lambda _text: None

    def attach(self, service: ClientService) -> None:
        self.service = service

    def on_notice(self, client_slot: ClientSlot | None, notice: Notice) -> None:
        if notice.kind in _SENTENCES and not notice.is_repeated:
            self.say(_SENTENCES[notice.kind].format(in_words(notice.text)))

    def status(self) -> Sequence[tuple[str, str]]:
        return [] if self.service is None else self.service.slots[0].status()

    def why_no_card(self) -> str:
        return "" if self.service is None else self.service.slots[0].why_no_card()

    def title(self) -> str:
        number = None if self.service is None else self.service.slots[0].coordinator.client_slot
        return "remsim" if number is None else str(number)


def _interactive_shell(config: ClientConfig, emulator: DrivenEmulator) -> int:
    # prompt_toolkit takes its time to import; the script and the plain shell do without.
    from remsim.emulators.shell.console import Console

    watcher = _SlotWatcher()
    console = Console(
        emulator, history=_history_file(), status=watcher.status, title=watcher.title, why_no_card=watcher.why_no_card
    )
    watcher.say = partial(console.say, style="ansicyan")
    return run_frontend(_quiet(config), emulator, console.run, observer=watcher, on_made=watcher.attach)


def _quiet(config: ClientConfig) -> ClientConfig:
    """Where a person looks at a terminal, the frontend says what happens; the log keeps to errors."""
    return config.model_copy(update={"log_level": "error"}) if config.log_level == "info" else config


def _history_file() -> Path | None:
    """Where the shell's history is kept; None if there is no such place."""
    try:
        return default_state_dir(ClientConfig.program, os.environ) / "history"
    except ConfigError:
        return None


@contextlib.contextmanager
def _open_dump(path: Path) -> Iterator[TextIO]:
    try:
        # For its owner only: it has all that the card said, unmasked.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        # Each line goes out by itself, so that the player is told at once of one that cannot be written.
        stream = os.fdopen(handle, "w", encoding="utf-8", buffering=1)
    except OSError as error:
        raise StartError(f"cannot write {path}: {error.strerror or error}") from None
    try:
        yield stream
    finally:
        with contextlib.suppress(OSError):
            stream.close()


def _progress(stack: contextlib.ExitStack, steps: "Sequence[Step]", repeat: int) -> "Progress | None":
    """A bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        return None
    from remsim.client.report import progress_bar

    bar = stack.enter_context(progress_bar(sys.stderr))
    task = bar.add_task("", total=len(steps) * repeat)
    return lambda done: bar.update(task, completed=done)


def run(config: ClientRunConfig, reread: Callable[[], ClientRunConfig] | None = None) -> int:
    """Serve every slot of ``config`` and return the exit status. ``reread`` reads it anew for a reload.

    Raises ConfigError if an emulator cannot be made, StartError if there is nothing to serve.
    """
    specs = slot_specs(config)
    found = len(specs) - len(config.slot)

    def words() -> list[bool]:
        assert reread is not None
        now = reread()
        if [_place(slot) for slot in now.slot] != [_place(slot) for slot in config.slot]:
            raise ConfigError("the slots are not those that run", hint="restart the client to change its slots")
        return [now.of_slot(slot).is_ahead for slot in now.slot] + [now.is_ahead] * found

    return _serve(specs, config, None if reread is None else words)


def _place(slot: ClientSlotConfig) -> tuple[object, ...]:
    """Which slot of the host it is."""
    return slot.client, slot.emulator, slot.settings


def slot_specs(config: ClientRunConfig) -> list[SlotSpec]:
    """What each slot is made of. Raises ConfigError and StartError like ``run``."""
    specs = []
    for number, slot in enumerate((*config.slot, *(found_slots(config) if config.auto else ()))):
        try:
            emulator = make_emulator(slot.emulator, slot.settings)
        except ConfigError as error:
            raise ConfigError(f"slot[{number}]: {error}", hint=error.hint) from None
        emulator.set_command_rules(config.command_rules(slot))
        specs.append(SlotSpec(config.of_slot(slot), emulator, ClientObserver()))
    return specs


def found_slots(config: ClientRunConfig) -> list[ClientSlotConfig]:
    """A slot for each card-emulation interface that is plugged in and that no table of ``config`` claims.

    Raises ConfigError if a table's settings cannot be used, StartError if there is no slot at all.
    """
    from remsim.emulators.simtrace2.emulator import found_settings
    from remsim.emulators.simtrace2.find import DeviceError
    from remsim.emulators.simtrace2.libusb import LibusbBus

    claimed = [slot.settings for slot in config.slot if slot.emulator == "simtrace2"]
    try:
        found = found_settings(LibusbBus(), claimed)
    except DeviceError as error:
        raise StartError(str(error), hint=error.hint) from None
    if not found and not config.slot:
        raise StartError("no card-emulation interface is plugged in", hint="run remsim doctor for details")
    first = config.auto_client
    return [
        ClientSlotConfig(
            client=None if first is None else ClientSlot(first.client_id, first.slot_nr + number),
            emulator="simtrace2",
            settings=settings,
        )
        for number, settings in enumerate(found)
    ]


def vpcd(config: ClientVpcdConfig, reread: Callable[[], ClientVpcdConfig] | None = None) -> int:
    """Be the card in one virtual reader and return the exit status. ``reread`` reads ``config`` anew for a reload."""
    from remsim.emulators.vpcd.emulator import VpcdEmulator

    words = None if reread is None else lambda: [reread().is_ahead]
    return _serve([SlotSpec(config, VpcdEmulator(config.reader), ClientObserver())], config, words)


def _serve(specs: Sequence[SlotSpec], config: DaemonConfig, reread: Reread | None) -> int:
    metrics = ClientMetrics()
    return run_service(lambda: ClientService(specs, metrics=metrics, reread=reread), config=config, metrics=metrics)
