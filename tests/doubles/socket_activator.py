# SPDX-License-Identifier: Apache-2.0
"""What systemd does for ``pcscd.socket``: own the socket, start the service for who connects, and again when it ended.

``python -m tests.doubles.socket_activator SOCKET COMMAND…``. The service gets the listening socket as descriptor 3
(sd_listen_fds(3)). While it runs, the socket is its own business; connections that it has not accepted at its end stay
in the queue, and start the next one. On stdout: ``service started PID`` and ``service ended STATUS``, among what the
service itself prints there. SIGTERM ends the service, too.
"""

import functools
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

#: The first descriptor that is passed (SD_LISTEN_FDS_START).
_FIRST_PASSED: Final = 3

#: pcscd's idle time is 60 s and cannot be set. Only that is shortened; each setting of the alarm is printed.
_ALARM: Final = """
#include <stdio.h>
#include <sys/time.h>

unsigned int alarm(unsigned int seconds)
{
    struct itimerval timer = {{0, 0}, {seconds / 100, seconds % 100 * 10000}};
    dprintf(1, "alarm %u\\n", seconds);
    setitimer(ITIMER_REAL, &timer, NULL);
    return 0;
}
"""


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Kept as long as the process."""
    return tempfile.TemporaryDirectory(prefix="remsim-alarm-")


@functools.cache
def hundredfold_alarm() -> Path:
    """A library for LD_PRELOAD: seconds given to ``alarm()`` are hundredths; ``alarm SECONDS`` is printed to stdout."""
    source, library = Path(_folder().name) / "alarm.c", Path(_folder().name) / "alarm.so"
    source.write_text(_ALARM, encoding="ascii")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _become(argv: Sequence[str], listening: int) -> NoReturn:
    """Turn this process, a child, into the service."""
    try:
        if listening == _FIRST_PASSED:
            # Then dup2 does nothing, and the descriptor would be closed at exec.
            listening = os.dup(listening)
        os.dup2(listening, _FIRST_PASSED)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execvp(argv[0], list(argv))
    finally:
        os._exit(127)


def main(path: str, argv: Sequence[str]) -> None:
    """Own the socket until we are ended."""
    service = 0

    def end(*_: object) -> None:
        if service:
            os.kill(service, signal.SIGKILL)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        Path(path).chmod(0o666)
        listening.listen(128)
        _say("socket owned")
        while True:
            select.select([listening], [], [])
            service = os.fork()
            if not service:
                _become(argv, listening.fileno())
            _say(f"service started {service}")
            _, status = os.waitpid(service, 0)
            service = 0
            _say(f"service ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
