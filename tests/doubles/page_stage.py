# SPDX-License-Identifier: Apache-2.0
"""Runs what a page of documentation shows, in the order of the page, and holds the shown output against the real one.

Everything runs inside the namespaces of a ``PcscdNamespace``: default ports are free there, and nothing is reached from
outside. Home and current folder are temporary. What cannot be run as it stands is in ``ELSEWHERE``, with the reason and
with what is done instead; nothing is passed over.
"""

import configparser
import importlib.metadata
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from tests.doubles.console_pages import Command, FileText, Typed, first_gap, words
from tests.doubles.pcscd import PcscdNamespace
from tests.doubles.postgres import Postgres
from tests.doubles.programs import INSTALLED, PATIENCE_S, Program, ProgramError, stand_ins
from tests.reference import ROOT

#: What a daemon says when it is ready, by the name of its program.
_READY: Final = {"remsim": r"\sstarted( |$)|: tracing ", "tshark": "Capturing on"}
#: What a terminal does not show as text, and a prompt that something was written behind.
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_PROMPT: Final = re.compile(r"(remsim|C\d+:\d+)> ")
#: A command that shows this line fails, and is meant to.
_ERROR_LINE: Final = re.compile(r"remsim([ -][a-z0-9-]+)?: .*|problem +[a-z]+ .*")
#: These only look, and may be asked again until the programs have got there.
_QUERY: Final = re.compile(
    r"(REMSIM_TOKEN=\$\([^)]+\) )?remsim ctl (--(rest|authority) \S+ )*(--json )?"
    r"(audit|banks|cards|clients|mappings|slots|watch)\b"
    r"|(REMSIM_TOKEN=\$\([^)]+\) )?remsim-apitool( -[Hp] \S+| --authority \S+)*( -[abcs])?( \d+)?$"
    r"|(cat|curl -s|pcsc_scan|sed -n) "
)


def _plain(line: str) -> str:
    """The text of a line on a terminal."""
    return _PROMPT.sub("", _CONTROL.sub("", line))


class PageStage:
    """One page's run. Ends all that it started with ``close`` (or ``with``)."""

    def __init__(
        self,
        namespace: PcscdNamespace,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        postgres: Postgres | None = None,
    ) -> None:
        self._environment = [f"{name}={value}" for name, value in (environment or {}).items()]
        #: What the page's reader has set in his shell for all that follows.
        self._exports: list[str] = []
        self.folder = folder / "here"
        self._home = folder / "home"
        #: Stands for /var/lib, where a service manager makes state directories.
        self._state = folder / "state"
        for path in (self.folder, self._home, self._state):
            path.mkdir()
        self._namespace = namespace
        self._postgres = postgres
        self._daemons: list[tuple[Command, Program]] = []
        self._units: dict[str, FileText] = {}

    def start(self, command: str) -> Program:
        """Start ``command`` in the page's folder, stdout and stderr as one."""
        keep = [name for name in os.environ if name.startswith("REMSIM_")]
        forget = [word for name in keep for word in ("-u", name)]
        path = ":".join(
            map(str, (stand_ins() or INSTALLED, INSTALLED, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
        )
        home = [f"--chdir={self.folder}", f"HOME={self._home}", f"PATH={path}", "TERM=dumb", "COLUMNS=100"]
        script = "; ".join(["exec 2>&1", *self._exports, self._here(command)])
        return self._namespace.program(["env", *forget, *home, *self._environment, "bash", "-c", script])

    def _here(self, text: str) -> str:
        """What stands for places of the system in the tests."""
        if self._postgres is not None:
            text = text.replace("/var/run/postgresql", str(self._postgres.folder))
        return text.replace("/var/lib/", f"{self._state}/")

    def administer_postgres(self, command: Command, text: str) -> None:
        """Run a program of PostgreSQL's as its administrator."""
        assert self._postgres is not None, command.place
        words = [f"{name}={shlex.quote(value)}" for name, value in self._postgres.environment.items()]
        self.run_to_end(Command(command.place, f"env {' '.join(words)} {text}", command.output))

    def write(self, file: FileText) -> None:
        """Put a file of the page where its commands look for it."""
        (self.folder / file.name).write_text(self._here(file.text), encoding="utf-8")
        if file.kind == "ini":
            self._units[file.name.removesuffix(".service")] = file

    def start_socket(self, command: Command, unit: str) -> None:
        """Do what the service manager would: listen, and run the service's ExecStart for the first connection."""
        place = _unit(self._units[unit])["Socket"]["ListenStream"]
        service = _unit(self._units[unit.removesuffix(".socket")])["Service"]["ExecStart"]
        config, drivers = self.folder / "second-readers", self.folder / "no-drivers"
        self._namespace.write_second_config(config)
        drivers.mkdir()
        program = re.sub(r"--config \S+", f"--config {shlex.quote(str(config))}", service)
        listening = f"systemd-socket-activate --listen {place} --setenv PCSCLITE_HP_DROPDIR={shlex.quote(str(drivers))}"
        listener = self.start(f"mkdir -p {Path(place).parent}; exec {listening} {program}")
        self._daemons.append((command, listener))
        listener.wait_for_stdout(f"Listening on {place}")

    def run(self, command: Command) -> None:
        """Run one command of the page. Raises ProgramError or AssertionError."""
        for how in ELSEWHERE:
            if re.fullmatch(how.pattern, command.text):
                how.instead(self, command)
                return
        if command.text.startswith(("export ", "umask ")):
            self._exports.append(command.text)
        elif command.is_daemon:
            self.run_daemon(command)
        elif command.dialogue:
            self._hold_dialogue(command)
        else:
            self.run_to_end(command)

    def run_daemon(self, command: Command, prefix: str = "") -> None:
        """Start it, wait until it is ready and has said what is shown."""
        program = self.start(f"{prefix}exec {command.text}")
        self._daemons.append((command, program))
        name = words(command.text)[0].partition("-")[0]
        program.wait_for_stdout(_READY[name])
        self._await_lines(command, program, command.output)

    def run_to_end(self, command: Command) -> None:
        """Run it and look at its output and status; a query is asked again until it shows what the page does."""
        fails = any(_ERROR_LINE.fullmatch(line.strip()) for line in command.output)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            program = self.start(command.text)
            program.close_input()
            status = program.wait(60.0)
            gap = first_gap([self._here(line) for line in command.output], program.stdout.lines)
            if gap is None and bool(status) == fails:
                return
            self._check_daemons()
            if _QUERY.match(command.text) is None or time.monotonic() > deadline:
                raise ProgramError(f"{command.place}: status {status}, no line {gap!r}\n{program.describe()}")

    def _hold_dialogue(self, command: Command) -> None:
        program = self.start(f"exec script --quiet --return --flush --command {shlex.quote(command.text)} /dev/null")
        self._await_lines(command, program, command.output)
        for typed in command.dialogue:
            self._say(command, program, typed)
        assert program.wait() == 0, program.describe()

    def _say(self, command: Command, program: Program, typed: Typed) -> None:
        seen = len(program.stdout.lines)
        program.send_line(typed.text)
        self._await_lines(command, program, typed.output, after=seen)

    def _await_lines(self, command: Command, program: Program, shown: Sequence[str], *, after: int = 0) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (gap := first_gap(shown, map(_plain, seen := program.stdout.lines[after:]))) is not None:
            left_s = deadline - time.monotonic()
            # Any new line is worth another look.
            if program.stdout.wait_for("", after=after + len(seen), timeout_s=left_s) is None:
                raise ProgramError(f"{command.place}: no line {gap!r}\n{program.describe()}")

    def _check_daemons(self) -> None:
        for command, program in self._daemons:
            if program.status is not None:
                raise ProgramError(f"{command.place}: it ended\n{program.describe()}")

    def read_journal(self, command: Command, unit: str) -> None:
        """Await the shown lines in what the service of this name says."""
        text = _unit_command(self._units[unit])
        (service,) = [program for started, program in self._daemons if started.text == text]
        self._await_lines(command, service, command.output)

    def start_unit(self, command: Command, unit: str) -> None:
        """Do what the service manager would: run the unit's ExecStart, with a state directory."""
        file = self._units[unit]
        state = self.state_directory(unit)
        service = Command(file.place, _unit_command(file), is_daemon=True, output=command.output)
        self.run_daemon(service, f"STATE_DIRECTORY={shlex.quote(str(state))} ")

    def state_directory(self, unit: str) -> Path:
        """Where the service of this name keeps its state; made if it is not there."""
        state = self._state / unit
        state.mkdir(mode=0o700, exist_ok=True)
        return state

    def reload_unit(self, command: Command, unit: str) -> None:
        """Do what the unit's ExecReload says, and await the shown lines in what the service says."""
        text = _unit_command(self._units[unit])
        (service,) = [program for started, program in self._daemons if started.text == text]
        assert "ExecReload=/bin/kill -HUP $MAINPID" in self._units[unit].text, command.place
        seen = len(service.stdout.lines)
        service.send_signal(signal.SIGHUP)
        self._await_lines(command, service, command.output or ("… reloaded",), after=seen)

    def finish(self) -> None:
        """See that the daemons have said what the page shows of them, and that they end when they are told to."""
        for command, program in self._daemons:
            self._await_lines(command, program, command.later)
        while self._daemons:
            command, program = self._daemons.pop()
            status = program.stop()
            assert status in (0, None) or "remsim" not in command.text, program.describe()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Commands that are not run as they stand."""

    pattern: str
    reason: str
    instead: Callable[[PageStage, Command], None]


def _dry_run_make(_stage: PageStage, command: Command) -> None:
    subprocess.run([*words(command.text), "--dry-run"], cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_S)


def _play_demo(stage: PageStage, command: Command) -> None:
    _dry_run_make(stage, command)
    stage.run_to_end(Command(command.place, "remsim demo --once", command.output))


def _know_packages(_stage: PageStage, command: Command) -> None:
    listed = words(command.text)
    names = [word for word in listed[listed.index("install") + 1 :] if not word.startswith("-")]
    scripts = " ".join((ROOT / "tools" / name).read_text(encoding="utf-8") for name in ("setup-system.sh", "setup.sh"))
    # The set-up asks for the package of the very interpreter; python3-dev is Debian's name for that of its default one.
    known = set(re.split(r"[\s\"()]+", scripts)) | {"python3-dev"}
    unknown = [name for name in names if name not in known]
    assert not unknown, f"{command.place}: the set-up of the tests does not install {unknown}"


def _make_bare_venv(stage: PageStage, command: Command) -> None:
    bare = command.text.removeprefix("sudo ").replace("-m venv ", "-m venv --without-pip ", 1)
    stage.run_to_end(Command(command.place, bare))


def _have_requirements(_stage: PageStage, command: Command) -> None:
    what = words(command.text)[-1]
    named = re.fullmatch(r"\.(?:\[([a-z,]+)\])?", what)
    assert named, f"{command.place}: {what} is not this project with extras"
    extras = set((named[1] or "").split(",")) - {""}
    metadata = importlib.metadata.metadata("remsim")
    assert extras <= set(metadata.get_all("Provides-Extra", [])), command.place
    for text in importlib.metadata.requires("remsim") or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            assert requirement.specifier.contains(importlib.metadata.version(requirement.name)), text


def _start_unit(stage: PageStage, command: Command) -> None:
    if command.text.endswith(".socket"):
        stage.start_socket(command, words(command.text)[-1])
        return
    stage.start_unit(command, words(command.text)[-1].removesuffix(".service"))


def _reload_unit(stage: PageStage, command: Command) -> None:
    stage.reload_unit(command, words(command.text)[-1].removesuffix(".service"))


def _run_as_oneself(stage: PageStage, command: Command) -> None:
    """The state directories of the services are those of the one user that is here."""
    match = re.fullmatch(r"sudo -u (remsim-[a-z]+) /opt/remsim/bin/(remsim .*)", command.text)
    assert match, command.place
    assert f"u {match[1]} " in (ROOT / "packaging" / "sysusers.d" / "remsim.conf").read_text(encoding="utf-8")
    stage.state_directory(match[1])
    stage.run_to_end(Command(command.place, match[2], command.output))


def _administer_postgres(stage: PageStage, command: Command) -> None:
    stage.administer_postgres(command, command.text.removeprefix("sudo -u postgres "))


def _read_journal(stage: PageStage, command: Command) -> None:
    stage.read_journal(command, words(command.text)[-1])


def _know_packaging(_stage: PageStage, command: Command) -> None:
    for word in words(command.text):
        if word.startswith("packaging/"):
            assert (ROOT / word).is_file(), command.place


def _unit(file: FileText) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(file.text)
    return unit


def _unit_command(file: FileText) -> str:
    """ExecStart with our own program and the page's files."""
    unit = _unit(file)
    program, *rest = shlex.split(unit["Service"]["ExecStart"])
    assert unit["Service"]["Type"] == "notify", f"{file.place}: the programs tell when they are ready"
    return shlex.join([Path(program).name, *(Path(word).name if word.startswith("/") else word for word in rest)])


#: The stages of the complete check run these with all that they set up; here only that they are there and what they
#: would do is looked at.
ELSEWHERE: Final = (
    Elsewhere(
        r"make demo( ONCE=1)?", "sets up .venv, which the tests run in; the demonstration itself runs", _play_demo
    ),
    Elsewhere(r"make (test|check|bench|fuzz)( .*)?", "this test is a part of it", _dry_run_make),
    Elsewhere(r"(sudo )?apt-get install .*", "tools/setup-system.sh installs the same for these tests", _know_packages),
    Elsewhere(r"(sudo )?python3 -m venv .*", "pip is a package of its own on Debian", _make_bare_venv),
    Elsewhere(
        r"\S+/bin/pip install .*", "tools/setup.sh installs the same, pinned, for these tests", _have_requirements
    ),
    Elsewhere(r"(sudo )?systemctl enable --now \S+", "no service manager runs here: its unit is run", _start_unit),
    Elsewhere(r"(sudo )?systemctl reload \S+", "no service manager runs here: the signal is sent", _reload_unit),
    Elsewhere(r"sudo -u remsim-\w+ .*", "there is one user here, who has the state directories", _run_as_oneself),
    Elsewhere(
        r"sudo -u postgres (createuser|createdb|pg_dump|pg_restore) .*",
        "the PostgreSQL of the tests has another administrator",
        _administer_postgres,
    ),
    Elsewhere(
        r"sudo (cp( packaging/\S+)+ \S+|udevadm .*|systemd-(sysusers|tmpfiles)\b.*)",
        "nothing of the system is changed here: the files are looked at",
        _know_packaging,
    ),
    Elsewhere(r"(sudo )?journalctl -u \S+", "no journal here: the service's own lines are read", _read_journal),
)
