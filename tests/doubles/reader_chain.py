# SPDX-License-Identifier: Apache-2.0
"""A card in one reader of a real pcscd, used through server, bankd and client from the other reader of that pcscd.

Reader 0 holds a software card and belongs to the bankd; in reader 1 sits ``remsim client vpcd``. Everything runs in the
namespaces of ``tests.doubles.pcscd``.
"""

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from remsim.readers.sim.profiles import load_profile
from tests.doubles.pcscd import READER_NAMES, VPCD_PORTS, PcscdNamespace
from tests.doubles.programs import PATIENCE_S, Program, ProgramError, remsim

SERVER: Final = "127.0.0.1:9998"
DIRECT, VIRTUAL = 0, 1
#: As pcsc_scan writes it.
ATR: Final = load_profile("default").atr.hex(" ").upper()


class ReaderChain:
    """The programs; the namespace ends them."""

    def __init__(self, namespace: PcscdNamespace, folder: Path) -> None:
        self.namespace = namespace
        self._folder = folder
        self._programs: list[Program] = []
        self.card = self._program(remsim("uicc", "--vpcd", f"127.0.0.1:{VPCD_PORTS[DIRECT]}"))
        self.card.wait_for("card_inserted")
        self.await_card(DIRECT)

    def _program(self, argv: Sequence[str]) -> Program:
        program = self.namespace.program(argv)
        self._programs.append(program)
        return program

    def start(self, *client_options: str) -> None:
        """Server, mapping, bankd and client, until the card is in the virtual reader."""
        state = str(self._folder / "server")
        self.server = self._program(remsim("server", "--state", state, "--plaintext", "--rest-open"))
        self.server.wait_for("started")
        mapped = self.namespace.run(remsim("ctl", "map", "B1:0", "C7:0"))
        assert mapped.returncode == 0, mapped.stderr
        self.start_bankd()
        self.start_client(*client_options)

    def start_bankd(self) -> Program:
        """In front of the direct reader."""
        config = self._folder / "bankd.toml"
        config.write_text(f'[[slot]]\nslot = 0\nreader = "{READER_NAMES[DIRECT]}"\n', encoding="utf-8")
        state = str(self._folder / "bankd")
        argv = remsim("bankd", "--server", SERVER, "--slots", "1", "--config", str(config), "--state", state)
        self.bankd = self._program([*argv, "--plaintext"])
        self.bankd.wait_for("started")
        return self.bankd

    def watch_for(self, port: int, data: bytes) -> Program:
        """A program that ends when these bytes have arrived at ``port``, whether they are read there or not."""
        watcher = self._program([sys.executable, "-m", "tests.doubles.arriving_bytes", str(port), data.hex()])
        watcher.wait_for_stdout("ready")
        return watcher

    def start_client(self, *options: str) -> Program:
        """In the virtual reader; waits until pcscd shows its card."""
        reader = f"127.0.0.1:{VPCD_PORTS[VIRTUAL]}"
        argv = remsim("client", "vpcd", "--server", SERVER, "--client", "7:0", "--vpcd", reader, "--plaintext")
        self.client = self._program([*argv, *options])
        self.client.wait_for("card_inserted")
        self.await_card(VIRTUAL)
        return self.client

    def await_card(self, reader: int, *, is_present: bool = True) -> None:
        """Wait until pcsc_scan shows the card in the reader, or none."""
        shown = ATR if is_present else "Card removed"
        scan = self.namespace.program(["pcsc_scan", "-n"])
        try:
            deadline = time.monotonic() + PATIENCE_S
            while shown not in self.scanned(scan.stdout.lines).get(reader, ""):
                seen = len(scan.stdout.lines)
                # Any new line is worth another look.
                if scan.stdout.wait_for("", after=seen, timeout_s=deadline - time.monotonic()) is None:
                    raise ProgramError(f"not {shown!r} in reader {reader}\n{scan.describe()}\n{self.describe()}")
        finally:
            scan.stop()

    @staticmethod
    def scanned(lines: Sequence[str]) -> dict[int, str]:
        """What pcsc_scan last said about each reader."""
        found: dict[int, str] = {}
        reader: int | None = None
        for line in lines:
            if heading := re.search(r"Reader (\d+): ", line):
                reader = int(heading[1])
                found[reader] = ""
            elif reader is not None:
                found[reader] += line + "\n"
        return found

    def describe(self) -> str:
        """The programs of the chain and their last lines."""
        return "\n".join(program.describe() for program in self._programs)

    def opensc(self, reader: int, *arguments: str) -> str:
        """What opensc-tool says about the card in a reader."""
        argv = ["opensc-tool", "--reader", str(reader), "--card-driver", "default", *arguments]
        done = self.namespace.run(argv)
        return done.stdout + done.stderr

    def send(self, reader: int, commands: Sequence[str]) -> str:
        """What opensc-tool prints for these commands."""
        return self.opensc(reader, *(word for command in commands for word in ("-s", command)))
