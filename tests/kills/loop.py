# SPDX-License-Identifier: Apache-2.0
"""Server, bankd, clients and pcscd, of which one after the other is ended by SIGKILL while modems work.

What may be lost, and is checked each time:

- server: nothing. No modem misses an answer, neither while it is away nor when it comes back with all its mappings.
- bankd: its sessions. Every modem sees its card go once, and has it again when the bankd is back.
- client: its own session. No other modem misses an answer.
- pcscd: the cards of its readers, which are opened again. Every modem sees its card go once; bankd and clients live.
"""

import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.doubles.null_pcscd import compiled
from tests.doubles.pcscd import wait_for_socket
from tests.doubles.programs import PATIENCE_S, Program, remsim
from tests.kills.modem import KillLoopError, Modem, Seen

_CLIENTS: Final = 3
_API: Final = "/api/backend/v1"
#: So many answers show that a modem is served.
_SERVED: Final = 5
#: A victim dies at a random time within this.
_WITHIN_S: Final = 0.3
#: Programs start one after the other on a machine that has other things to do.
_START_S: Final = 60.0
#: Nothing may need longer to end by SIGTERM.
_STOP_S: Final = 15.0


class Victim(Enum):
    """Who is killed."""

    SERVER = "server"
    BANKD = "bankd"
    CLIENT = "client"
    PCSCD = "pcscd"


@dataclass
class Report:
    """What happened."""

    kills: dict[Victim, int] = field(default_factory=lambda: dict.fromkeys(Victim, 0))
    #: The longest time until all modems were served again, in seconds.
    slowest_s: dict[Victim, float] = field(default_factory=lambda: dict.fromkeys(Victim, 0.0))
    #: Commands that modems gave without an answer.
    failures: dict[Victim, int] = field(default_factory=lambda: dict.fromkeys(Victim, 0))
    answers: int = 0
    stop_s: float = 0.0

    def lines(self) -> list[str]:
        """As a table."""
        rows = [
            f"{victim.value:8} {self.kills[victim]:5} {self.slowest_s[victim]:9.1f} {self.failures[victim]:9}"
            for victim in Victim
        ]
        return [
            "victim   kills  slowest/s  failures",
            *rows,
            f"{self.answers} commands were answered; all programs ended by SIGTERM within {self.stop_s:.1f} s",
        ]


class KillLoop:
    """``with`` starts everything; ``run`` kills."""

    def __init__(self, folder: Path, *, seed: int, tell: Callable[[str], None] = lambda _line: None) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._tell = tell
        self._stack = ExitStack()
        self._socket = folder / "pcscd.comm"
        self._rspro = self._rest = "127.0.0.1:0"
        self._pause = threading.Event()
        self.report = Report()
        self.modems: list[Modem] = []

    # The programs

    def __enter__(self) -> Self:
        try:
            self._start_pcscd()
            self._start_server()
            for number in range(_CLIENTS):
                body = {"bank": {"bankId": 1, "slotNr": number}, "client": {"clientId": number, "slotNr": 0}}
                self._call("POST", "/slotmaps", body)
            self._start_bankd()
            for number in range(_CLIENTS):
                argv = remsim("client", "shell", "--plaintext", "--server", self._rspro, "--client", f"{number}:0")
                modem = Modem(f"modem {number}", [*argv, "--log-level", "warning"])
                self.modems.append(modem)
                modem.start()
            self._await_service(self._seen())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for modem in self.modems:
            modem.kill()
        self.modems = []
        for program in (self._bankd, self._server, self._pcscd):
            if program is not None:
                program.kill()
                program.close_input()
        self._bankd = self._server = self._pcscd = None

    _pcscd: Program | None = None
    _server: Program | None = None
    _bankd: Program | None = None

    def _start_pcscd(self) -> None:
        env = {"NULL_READERS": str(_CLIENTS), "NULL_DELAY_US": "2000"}
        self._pcscd = Program([str(compiled()), str(self._socket)], env=env)
        wait_for_socket(self._socket, self._pcscd)

    def _start_server(self) -> None:
        state = str(self._folder / "server")
        argv = remsim("server", "--plaintext", "--rest-open", "--rspro", self._rspro, "--rest", self._rest)
        self._server = Program([*argv, "--state", state])
        # From now on it is found at the same place.
        found = self._server.wait_for(
            r"listening .*rspro=(127\.0\.0\.1:\d+).*rest=(127\.0\.0\.1:\d+)", timeout_s=_START_S
        )
        self._rspro, self._rest = found[1], found[2]

    def _start_bankd(self) -> None:
        config = self._folder / "bankd.toml"
        slots = "".join(f'[[slot]]\nslot = {nr}\nreader = "Null Reader {nr:04} 00"\n' for nr in range(_CLIENTS))
        config.write_text(f'[[pcscd]]\nsocket = "{self._socket}"\n{slots}', encoding="utf-8")
        argv = remsim("bankd", "--plaintext", "--config", str(config), "--slots", str(_CLIENTS), "--listen")
        self._bankd = Program([*argv, "127.0.0.1:0", "--server", self._rspro, "--state", str(self._folder / "bankd")])

    def _call(self, method: str, path: str, document: object = None) -> object:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(  # it is http
            f"http://{self._rest}{_API}{path}", body, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    # Killing

    def run(self, times: int) -> Report:
        """Kill so often, each victim as often as the others, in random order; then end all. Raises KillLoopError."""
        victims = [list(Victim)[number % len(Victim)] for number in range(times)]
        self._random.shuffle(victims)
        for number, victim in enumerate(victims, start=1):
            before = self._seen()
            self._await_service(before)
            self._pause.wait(self._random.uniform(0.0, _WITHIN_S))
            before = self._seen()
            began = time.monotonic()
            {
                Victim.SERVER: self._kill_server,
                Victim.BANKD: self._kill_bankd,
                Victim.CLIENT: self._kill_client,
                Victim.PCSCD: self._kill_pcscd,
            }[victim](before)
            lasted_s = time.monotonic() - began
            report = self.report
            report.kills[victim] += 1
            report.slowest_s[victim] = max(report.slowest_s[victim], lasted_s)
            report.failures[victim] += sum(now.failures - then.failures for now, then in self._pairs(before))
            self._tell(f"{number:4} {victim.value:8} {lasted_s:5.1f} s")
        self.report.answers = sum(seen.answers for seen in self._seen())
        self._stop_all()
        return self.report

    def _seen(self) -> list[Seen]:
        return [modem.seen for modem in self.modems]

    def _pairs(self, before: list[Seen]) -> list[tuple[Seen, Seen]]:
        return list(zip(self._seen(), before, strict=True))

    def _await_service(self, before: list[Seen]) -> None:
        """Wait until each modem has got some answers since."""
        for modem, then in zip(self.modems, before, strict=True):
            modem.wait_for("it is not served", answers=then.answers + _SERVED)

    def _check_undisturbed(self, before: list[Seen], *, but: Modem | None = None) -> None:
        for modem, (now, then) in zip(self.modems, self._pairs(before), strict=True):
            if modem is not but and (now.failures, now.cards) != (then.failures, then.cards):
                lines = "\n  ".join(modem.last)
                raise KillLoopError(f"{modem.name} was disturbed: {then}, now {now}\n  {lines}")

    def _await_new_cards(self, before: list[Seen]) -> None:
        """Each modem has lost its card, and has it again: once."""
        for modem, then in zip(self.modems, before, strict=True):
            back = modem.wait_for("its card did not come back", cards=then.cards + 1)
            modem.wait_for("it is not served", answers=back.answers + _SERVED)
            if modem.seen.cards != then.cards + 1:
                raise KillLoopError(f"{modem.name} was given {modem.seen.cards - then.cards} cards")

    def _kill_server(self, before: list[Seen]) -> None:
        assert self._server is not None
        self._server.kill()
        self._server.close_input()
        self._await_service(self._seen())
        self._check_undisturbed(before)
        self._start_server()
        self._await_mappings()
        self._await_service(self._seen())
        self._check_undisturbed(before)

    def _await_mappings(self) -> None:
        """The server has all mappings, bank and clients."""
        until = time.monotonic() + 2 * PATIENCE_S
        while True:
            try:
                found = self._call("GET", "/slotmaps?more=true")
            except urllib.error.URLError as error:
                raise KillLoopError(f"no answer from the server: {error}") from None
            assert isinstance(found, dict)
            ready = [
                entry for entry in found["slotmaps"] if entry["state"] == "ACTIVE" and entry.get("clientConnected")
            ]
            if len(found["slotmaps"]) != _CLIENTS:
                raise KillLoopError(f"the server has lost mappings: {found}")
            if len(ready) == _CLIENTS:
                return
            if time.monotonic() > until:
                raise KillLoopError(f"not everything came back to the server: {found}")
            self._pause.wait(0.05)

    def _kill_bankd(self, before: list[Seen]) -> None:
        assert self._bankd is not None
        self._bankd.kill()
        self._bankd.close_input()
        for modem, then in zip(self.modems, before, strict=True):
            modem.wait_for("it did not see that its card is gone", failures=then.failures + 1)
        self._start_bankd()
        self._await_new_cards(before)

    def _kill_client(self, before: list[Seen]) -> None:
        victim = self._random.choice(self.modems)
        victim.kill()
        then = victim.seen
        victim.start()
        victim.wait_for("its card did not come back", cards=then.cards + 1)
        self._await_service(self._seen())
        self._check_undisturbed(before, but=victim)

    def _kill_pcscd(self, before: list[Seen]) -> None:
        assert self._pcscd is not None
        self._pcscd.kill()
        self._pcscd.close_input()
        for modem, then in zip(self.modems, before, strict=True):
            modem.wait_for("it did not see that its card is gone", failures=then.failures + 1)
        self._start_pcscd()
        self._await_new_cards(before)
        for program in (self._bankd, self._server):
            assert program is not None
            if program.status is not None:
                raise KillLoopError(f"it did not survive the end of pcscd\n{program.describe()}")

    # The end

    def _stop_all(self) -> None:
        """End all by SIGTERM, in random order, under load."""
        assert self._server is not None
        assert self._bankd is not None
        ends: dict[str, Callable[[], int]] = {modem.name: modem.stop for modem in self.modems}
        ends |= {"server": self._server.stop, "bankd": self._bankd.stop}
        # A shell whose lines were not at their end says so.
        good = dict.fromkeys(ends, (0, 130)) | {"server": (0,), "bankd": (0,)}
        names = sorted(ends)
        self._random.shuffle(names)
        for name in names:
            began = time.monotonic()
            status = ends[name]()
            lasted_s = time.monotonic() - began
            self.report.stop_s = max(self.report.stop_s, lasted_s)
            if status not in good[name] or lasted_s > _STOP_S:
                raise KillLoopError(f"{name} ended with {status} after {lasted_s:.1f} s")
        self.modems = []
        self._server = self._bankd = None


__all__ = ["KillLoop", "KillLoopError", "Report", "Victim"]
