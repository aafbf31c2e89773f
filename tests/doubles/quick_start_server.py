# SPDX-License-Identifier: Apache-2.0
"""A process that has imported everything of ours, and forks into each script that it is asked for.

``python quick_start_server.py SOCKET FOLDER MODULE…``: listens at SOCKET, runs scripts of FOLDER, imports each MODULE
before. It ends, and with it all that it runs, when its input ends. tests/doubles/quick_start.py starts it, and
tests/doubles/quick_start.c asks it: one connection for each process, on which come the descriptors; all else about the
one that asks stands in ``/proc``.

What runs is like a start of the script by its name, with the same descriptors, environment, folders, namespaces and
ignored signals. What a fork cannot change (the user, limits, what the interpreter and the C library read when they
start) must be as it is here, or the one that asks is refused and starts the script itself.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import os
import re
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TextIO

REFUSED: Final = 0
RUNS: Final = 1
ENDED: Final = 2
#: Asked instead of a start: which process runs for the one with this number? Descriptors are never so many.
WHO: Final = -1

_ANSWER: Final = struct.Struct("=ii")
_MOST_DESCRIPTORS: Final = 64
#: Descriptors wait from here on until those below are closed.
_ASIDE: Final = 512
_PATIENCE_S: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1

#: The interpreter and C libraries read these when they start.
_READ_AT_START: Final = re.compile(rb"(PYTHON(?!DONTWRITEBYTECODE=)|LD_|LC_|LANG|MALLOC_|GLIBC_|OPENSSL_|LISTEN_)")
#: Of ``/proc/PID/status``: who the process is, and what it may do.
_WHO_IT_IS: Final = ("Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_NAMESPACES: Final = ("cgroup", "ipc", "pid", "user", "uts")
_ENTERED: Final = ("net", "mnt")


def _words(path: Path) -> list[bytes]:
    """What the kernel shows with a NUL behind each word."""
    return path.read_bytes().split(b"\0")[:-1]


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@dataclass(frozen=True)
class Likeness:
    """What must be the same in the process that asks and in the one that is forked."""

    status: tuple[str, ...]
    group: tuple[int, int]
    limits: str
    environment: frozenset[bytes]
    namespaces: tuple[str, ...]

    @classmethod
    def of(cls, pid: int) -> Self:
        """That of a process. Raises OSError if it is gone."""
        proc = Path(f"/proc/{pid}")
        status = _status(pid)
        return cls(
            tuple(status[name] for name in _WHO_IT_IS),
            (os.getsid(pid), os.getpgid(pid)),
            (proc / "limits").read_text(encoding="ascii"),
            frozenset(word for word in _words(proc / "environ") if _READ_AT_START.match(word)),
            tuple(str((proc / "ns" / name).readlink()) for name in _NAMESPACES),
        )


@dataclass
class Job:
    """A script to be run for the process that asks for it. ``descriptors``: what is here, by its number there."""

    pid: int
    script: Path
    arguments: list[bytes]
    descriptors: dict[int, int]

    def close(self) -> None:
        """Close the descriptors here."""
        for descriptor in self.descriptors.values():
            os.close(descriptor)


class Server:
    """Forks until its input ends."""

    def __init__(self, address: str, folder: Path) -> None:
        self._folder = folder
        self._own = Likeness.of(os.getpid())
        self._entered = {name: str(Path(f"/proc/self/ns/{name}").readlink()) for name in _ENTERED}
        self._root = Path("/").stat()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(address)
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
        #: The process that runs for each one that has asked, by its connection; and the number of the one that asked.
        self._running: dict[socket.socket, tuple[int, int]] = {}

    def listen(self) -> None:
        """From now on it is asked. Before, all who connect are refused, and start their scripts themselves."""
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ, None)

    def serve(self) -> Job | None:
        """Return a job in each forked process, and None in this one at the end."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    job = self._accept()
                    if job is not None:
                        return job
                elif isinstance(key.fileobj, socket.socket):
                    self._asker_is_gone(key.fileobj)
                elif isinstance(key.data, socket.socket):
                    self._child_is_gone(key.fd, key.data)
                else:
                    self._close()
                    return None

    def _accept(self) -> Job | None:
        link, _ = self._listener.accept()
        link.settimeout(_PATIENCE_S)
        raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        asker, _, _ = struct.unpack("3i", raw)
        descriptors: list[int] = []
        try:
            data, descriptors, _, _ = socket.recv_fds(link, 4 * (_MOST_DESCRIPTORS + 1), _MOST_DESCRIPTORS)
        except OSError:
            data = b""
        if not data:
            # It wanted to know only whether we are here.
            link.close()
            return None
        numbers = struct.unpack(f"={len(data) // 4}i", data)
        if numbers[:1] == (WHO,):
            found = next((child for pid, child in self._running.values() if pid == numbers[1]), 0)
            self._answer(link, RUNS, found)
            link.close()
            return None
        job = self._job(asker, dict(zip(numbers[1:], descriptors, strict=True)))
        if job is None:
            for descriptor in descriptors:
                os.close(descriptor)
            self._answer(link, REFUSED, 0)
            link.close()
            return None
        child = os.fork()
        if child == 0:
            return job
        job.close()
        self._running[link] = asker, child
        self._selector.register(os.pidfd_open(child), selectors.EVENT_READ, link)
        self._selector.register(link, selectors.EVENT_READ, None)
        self._answer(link, RUNS, child)
        return None

    def _job(self, pid: int, descriptors: dict[int, int]) -> Job | None:
        """What the process wants to become; None if it must do so itself."""
        proc = Path(f"/proc/{pid}")
        try:
            words = _words(proc / "cmdline")
            is_alike = Likeness.of(pid) == self._own
            is_elsewhere = str((proc / "ns" / "mnt").readlink()) != self._entered["mnt"]
            is_alike &= is_elsewhere or os.path.samestat((proc / "root").stat(), self._root)
        except OSError:
            return None
        script = self._folder / os.fsdecode(words[0]).rpartition("/")[2]
        return Job(pid, script, words[1:], descriptors) if is_alike else None

    def _answer(self, link: socket.socket, kind: int, value: int) -> None:
        with contextlib.suppress(OSError):
            link.send(_ANSWER.pack(kind, value))

    def _child_is_gone(self, pidfd: int, link: socket.socket) -> None:
        """Tell its status. It is not waited for: while its asker lives and may signal it, its number stays taken."""
        self._selector.unregister(pidfd)
        os.close(pidfd)
        if link in self._running:
            _, child = self._running[link]
            found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
            assert found is not None
            is_status = found.si_code == os.CLD_EXITED
            self._answer(link, ENDED, found.si_status << 8 if is_status else found.si_status)

    def _asker_is_gone(self, link: socket.socket) -> None:
        _, child = self._running.pop(link)
        self._selector.unregister(link)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        # At our end it is still there.
        self._answer(link, ENDED, status)
        link.close()

    def _close(self) -> None:
        for link in list(self._running):
            self._asker_is_gone(link)

    def become(self, job: Job) -> None:
        """In a forked process: take over all that makes a process its own. Raises OSError."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        proc = Path(f"/proc/{job.pid}")
        status, environment = _status(job.pid), _words(proc / "environ")
        self._enter(libc, proc)
        os.umask(int(status["Umask"], 8))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ignored = int(status["SigIgn"], 16)
        for number in signal.valid_signals():
            if ignored >> (number - 1) & 1:
                signal.signal(number, signal.SIG_IGN)
        os.environ.clear()
        for word in environment:
            name, _, value = word.partition(b"=")
            os.environb.setdefault(name, value)
        time.tzset()
        Path("/proc/self/comm").write_text(job.script.name, encoding="utf-8")
        _take_over(job.descriptors)
        sys.argv = [str(job.script), *map(os.fsdecode, job.arguments)]
        sys.orig_argv = [sys.executable, *sys.argv]
        sys.path[0] = str(job.script.parent)

    def _enter(self, libc: ctypes.CDLL, proc: Path) -> None:
        """Its namespaces, root and current folder."""
        root, here = (os.open(proc / name, os.O_PATH | os.O_CLOEXEC) for name in ("root", "cwd"))
        others = [name for name in _ENTERED if str((proc / "ns" / name).readlink()) != self._entered[name]]
        # All are opened before the first is entered: then /proc may be another one.
        for space in [os.open(proc / "ns" / name, os.O_RDONLY | os.O_CLOEXEC) for name in others]:
            if libc.setns(space, 0):
                raise OSError(ctypes.get_errno(), "setns")
        if "mnt" in others:
            os.fchdir(root)
            os.chroot(".")
        os.fchdir(here)


def _take_over(descriptors: Mapping[int, int]) -> None:
    """Have these descriptors under their new numbers, no other, and new streams above them."""
    aside = {number: os.dup2(old, _ASIDE + number, inheritable=False) for number, old in descriptors.items()}
    os.closerange(0, _ASIDE)
    for number, descriptor in aside.items():
        os.dup2(descriptor, number)
    os.closerange(_ASIDE, _ASIDE + 256)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = _stream(number, getattr(sys, name), mode)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _stream(descriptor: int, like: TextIO, mode: str) -> TextIO | None:
    """What the interpreter makes of a standard descriptor when it starts."""
    try:
        binary = open(descriptor, f"{mode}b", closefd=False)  # noqa: SIM115  # it is open until the end
    except OSError:
        return None
    is_chatty = descriptor == 2 or os.isatty(descriptor)
    text = io.TextIOWrapper(binary, like.encoding, like.errors, "\n" if mode == "w" else None, is_chatty)
    text.mode = mode  # type: ignore[misc]
    return text


def _run(script: Path) -> int:
    """Run the script like the interpreter would; return the exit status."""
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)  # noqa: T201  # this is what the interpreter does
        return 1
    except BaseException as error:  # noqa: BLE001  # the top of the process
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != str(script):
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        return 1
    return 0


def _end(status: int) -> None:
    """What the interpreter does at its end, but for clearing up all modules, which takes longer than most programs."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError as error:
            status = 120
            print(f"Exception ignored in: {stream!r}\n{error!r}", file=sys.stderr)  # noqa: T201
    os._exit(status)


def _alone() -> Iterator[str]:
    """What keeps this process from forking: threads."""
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != os.getpid():
            yield (task / "comm").read_text(encoding="utf-8").strip()


def main(address: str, folder: Path, modules: list[str]) -> None:
    """Serve, or run one script in a forked process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in modules:
        # Who needs a library that is not here is told so when it runs.
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    if threads := list(_alone()):
        raise SystemExit(f"imports have started threads: {threads}")
    server = Server(address, folder)
    # What is there already is not looked through again in each process, which would copy its pages.
    gc.collect()
    gc.freeze()
    server.listen()
    job = server.serve()
    if job is not None:
        try:
            server.become(job)
        except OSError as error:
            print(f"cannot become {job.script.name}: {error}", file=sys.stderr)  # noqa: T201
            os._exit(125)
        _end(_run(job.script))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
