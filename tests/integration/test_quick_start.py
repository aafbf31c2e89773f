# SPDX-License-Identifier: Apache-2.0
"""A program that starts quickly is what it would be if it were started as usual (tests/doubles/quick_start.py)."""

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.doubles.programs import PATIENCE_S, Program, installed_remsim, remsim
from tests.doubles.quick_start import QuickStart, running_for, wait_until_ready

#: Tells all that a process gets when it starts. Its first argument is a process in whose namespaces it may be.
_PROBE: Final = """\
import json, os, resource, signal, sys, threading

def stream(file):
    names = "encoding", "errors", "line_buffering", "write_through", "mode", "name", "newlines"
    return file and {name: getattr(file, name) for name in names} | {"raw": repr(file.buffer), "tty": file.isatty()}

def is_open(fd):
    try:
        return os.fstat(fd) is not None
    except OSError:
        return False

# But for that of the look at them.
fds = [int(name) for name in os.listdir("/proc/self/fd") if is_open(int(name))]
facts = {
    "argv": sys.argv,
    "orig_argv": sys.orig_argv,
    "path": sys.path,
    "flags": list(sys.flags),
    "warnings": sys.warnoptions,
    "main": [__name__, __file__],
    "environment": dict(os.environ),
    "folder": os.getcwd(),
    "root": os.listdir("/run"),
    "umask": os.umask(0),
    "descriptors": {fd: os.get_inheritable(fd) for fd in sorted(fds)},
    "streams": [stream(file) for file in (sys.stdin, sys.stdout, sys.stderr)],
    "signals": {number: str(signal.getsignal(number)) for number in sorted(signal.valid_signals())},
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "who": [os.getuid(), os.getgid(), os.getgroups(), os.getpgrp(), os.getsid(0)],
    "limits": [resource.getrlimit(number) for number in range(16)],
    "spaces": {name: os.readlink(f"/proc/self/ns/{name}") == os.readlink(f"/proc/{sys.argv[1]}/ns/{name}")
               for name in ("net", "mnt", "pid", "user")},
    "name": open("/proc/self/comm").read(),
    "threads": [thread.name for thread in threading.enumerate()],
}
with open(sys.argv[2], "w") as file:
    json.dump(facts, file)
"""

#: Says what it is told by signals.
_WAITS: Final = """\
import signal, sys
numbers = {signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1}
# Blocked, so that one that comes while another is told waits for its turn.
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("csv" in sys.modules, flush=True)
while True:
    print(signal.Signals(signal.sigwait(numbers)).name, flush=True)
"""

#: Scripts that end in all manners.
_ENDS: Final = {
    "end": "print('text')",
    "status": "import sys; sys.exit(7)",
    "large": "import sys; sys.exit(256 + 3)",
    "words": "import sys; sys.exit('so many words')",
    "raise": "def f():\n    return 1 / 0\nf()",
    "interrupted": "raise KeyboardInterrupt",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "aborted": "import os; os.abort()",
    "exit": "import os; os._exit(5)",
    "late": "import atexit, threading\natexit.register(print, 'last')\n"
    "threading.Timer(0.05, print, ['thread']).start()\nprint('first')",
    "pool": "from concurrent.futures import ThreadPoolExecutor as P\nprint(P(2).submit(pow, 2, 3).result())",
    "input": "import sys; print(sys.stdin.read().upper())",
    "closed": "import sys; sys.stdout.close(); print('text', file=sys.stderr)",
    "random": "import random, os, hashlib; print(len(str(random.random())) > 3)",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of scripts."""
    folder = tmp_path_factory.mktemp("installed")
    for name, text in {"probe": _PROBE, "waits": _WAITS, **_ENDS}.items():
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def quick(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with their stand-ins."""
    folder = tmp_path_factory.mktemp("q")
    with QuickStart(folder, installed=installed, scripts=["probe", "waits", *_ENDS], imports=["csv", "threading"]):
        wait_until_ready(folder)
        yield folder


def _told(prefix: Sequence[str], script: Path, told: Path, *, folder: Path | None = None) -> dict[str, object]:
    environment = {"PATH": os.environ["PATH"], "A": "b=c", "EMPTY": "", "BYTES": os.fsdecode(b"\xff"), "HOME": "/"}
    argv = [*prefix, str(script), str(os.getpid()), str(told), "two words", os.fsdecode(b"\xfe")]
    done = subprocess.run(argv, env=environment, timeout=PATIENCE_S, check=False, cwd=folder)
    assert done.returncode == 0
    found = json.loads(told.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("prefix", [[], ["setpriv", "--pdeathsig", "KILL", "--"]], ids=["as it is", "tied"])
def test_process_is_the_same(prefix: list[str], quick: Path, installed: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    assert _told(prefix, quick / "probe", told, folder=tmp_path) == _told(
        prefix, installed / "probe", told, folder=tmp_path
    )


_SHELL: Final = 'exec "$0" "$@"'


@pytest.mark.parametrize(
    "script",
    [
        f"umask 027; {_SHELL}",
        f"trap '' INT HUP; {_SHELL}",
        f"exec <&-; {_SHELL}",
        f"exec >&-; {_SHELL}",
        f"exec 2>&-; {_SHELL}",
        f"exec 7</dev/null 9>/dev/null; {_SHELL}",
        f"ulimit -n 200; {_SHELL}",
        f"export PYTHONDEVMODE=1; {_SHELL}",
        f"export PYTHONUNBUFFERED=1; {_SHELL}",
        f"export LC_ALL=C.UTF-8; {_SHELL}",
        f"export TZ=Asia/Tokyo; {_SHELL}",
        f"setsid -w {_SHELL.removeprefix('exec ')}",
        f"cd /proc; {_SHELL}",
        'script --quiet --return --command "$(printf "%q " "$0" "$@")" /dev/null',
    ],
)
def test_process_is_the_same_in_other_surroundings(script: str, quick: Path, installed: Path, tmp_path: Path) -> None:
    told, prefix = tmp_path / "told", ["bash", "-c", script]
    facts = [_told(prefix, folder / "probe", told) for folder in (quick, installed)]
    for fact in facts:
        fact.pop("who")
    assert facts[0] == facts[1]


def test_process_is_in_the_namespaces_of_the_one_that_asks(quick: Path, installed: Path, tmp_path: Path) -> None:
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    inside = 'mount -t tmpfs tmpfs /run && mkdir /run/x && cd /run && exec "$0" "$@"'
    prefix = ["unshare", *user, "--net", "--mount", "sh", "-c", inside]
    facts = [_told(prefix, folder / "probe", tmp_path / "told") for folder in (quick, installed)]
    assert facts[0] == facts[1]
    assert (facts[0]["root"], facts[0]["folder"]) == (["x"], "/run")


@pytest.mark.parametrize("name", _ENDS)
def test_process_ends_the_same(name: str, quick: Path, installed: Path) -> None:
    ends = [
        subprocess.run(
            [folder / name], input="words\n", capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        for folder in (quick, installed)
    ]
    first, second = ((end.returncode, end.stdout, end.stderr) for end in ends)
    assert first == second


#: A time, which differs.
_TIME: Final = re.compile(r"^\S+Z ", re.MULTILINE)


@pytest.mark.parametrize(
    "words",
    [
        *("", "--help", "--version", "nonsense", "--nonsense", "client --help", "client --nope", "pki show"),
        *(
            "server --rest nonsense:x",
            "ctl --rest http://127.0.0.1:9 banks",
            "ctl --rest http://127.0.0.1:9 --json banks",
        ),
    ],
)
def test_command_says_the_same(words: str, quick_start: Path, tmp_path: Path) -> None:
    wait_until_ready(quick_start)
    environment = {**os.environ, "HOME": str(tmp_path)}
    ends = [
        subprocess.run(start(*words.split()), capture_output=True, text=True, env=environment, timeout=60, check=False)
        for start in (remsim, installed_remsim)
    ]
    assert ends[0].args[0] != ends[1].args[0]
    assert len({(end.returncode, _TIME.sub("", end.stdout), _TIME.sub("", end.stderr)) for end in ends}) == 1


def _card(argv: Sequence[str]) -> tuple[int, list[str]]:
    with Program(argv) as program:
        program.wait_for("vpcd_away")
        program.send_signal(signal.SIGTERM)
        status = program.wait()
    return status, [_TIME.sub("", line) for line in program.stderr.lines]


def test_daemon_says_the_same_and_ends_the_same(quick_start: Path) -> None:
    wait_until_ready(quick_start)
    words = ("uicc", "--vpcd", "127.0.0.1:9")
    assert _card(remsim(*words)) == _card(installed_remsim(*words))


def test_signals_are_passed_on_and_nothing_outlives_its_stand_in(quick: Path) -> None:
    with subprocess.Popen([quick / "waits"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # It was not started as usual: what it does not import itself is there.
        assert process.stdout.readline() == "True\n"
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            process.send_signal(number)
            assert process.stdout.readline() == f"{number.name}\n"
        pid = running_for(quick, process.pid)
        assert pid != process.pid
        runs = os.pidfd_open(pid)
        process.kill()
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
        assert process.stdout.read() == ""
        assert select.select([runs], [], [], PATIENCE_S)[0]
        os.close(runs)
        assert running_for(quick, process.pid) == process.pid


def test_stand_in_ends_like_what_runs_for_it(quick: Path) -> None:
    with subprocess.Popen([quick / "waits"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(running_for(quick, process.pid), signal.SIGKILL)
        assert process.wait(PATIENCE_S) == -signal.SIGKILL


def test_program_knows_the_process_that_runs(quick_start: Path) -> None:
    wait_until_ready(quick_start)
    with Program(remsim("uicc", "--vpcd", "127.0.0.1:9")) as program:
        program.wait_for("vpcd_away")
        assert Path(f"/proc/{program.pid}/comm").read_text(encoding="utf-8") == "remsim\n"
        stat = Path(f"/proc/{program.pid}/stat").read_text(encoding="utf-8")
        assert int(stat.rpartition(")")[2].split()[1]) != os.getpid()
        program.kill()
        assert program.status == -signal.SIGKILL


def test_nothing_outlives_the_server(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("r")
    with QuickStart(folder, installed=installed, scripts=["waits"], imports=[]):
        wait_until_ready(folder)
        process = subprocess.Popen([folder / "waits"], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
    with process:
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
        assert process.stdout.read() == ""
    # Without a server there is the usual start.
    with subprocess.Popen([folder / "waits"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "False\n"
        process.kill()
