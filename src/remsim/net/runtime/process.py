# SPDX-License-Identifier: Apache-2.0
"""A service as a process: event loop, signals, readiness and exit status.

``run_service`` is the only place that runs a loop for the three daemons. It knows nothing of what a service does.
"""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from remsim import __version__
from remsim.logs import get_logger, setup_logging
from remsim.metrics import ProgramMetrics, serve_metrics
from remsim.net.runtime.report import SIGNAL_EXIT_BASE, report_error

if TYPE_CHECKING:
    from remsim.config import DaemonConfig

#: More descriptors than this help nobody, and some systems set absurd hard limits.
MAX_OPEN_FILES: Final = 1 << 20
#: Objects that are made and not yet dropped before the youngest generation is looked through, and how often each
#: generation is before the next one. A million objects are some twenty thousand peers that came and went.
GC_THRESHOLDS: Final = (10_000, 10, 10)


class Service(Protocol):
    """What can be run as a process, or several at a time in one loop, as tests and the demo do.

    Life: ``start``, then ``run``, then ``stop``, which also follows a failed ``start``.
    """

    #: Set when the service listens or is otherwise ready for its peers.
    started: asyncio.Event

    async def start(self) -> None:
        """Acquire everything. Raises StartError; then ``stop`` is called and must cope."""
        ...

    async def run(self) -> None:
        """Serve until ``request_stop``, which may have been called before, and return when drained."""
        ...

    def request_stop(self) -> None:
        """Ask ``run`` to finish what is in progress and to return. May be called often, and in any state."""
        ...

    async def stop(self) -> None:
        """Release everything that ``start`` and ``run`` have acquired."""
        ...


@runtime_checkable
class Reloadable(Protocol):
    """A service that does something else on SIGHUP than to end."""

    def on_hangup(self) -> None:
        """SIGHUP has come."""
        ...


def run_service(
    factory: Callable[[], Service],
    *,
    config: "DaemonConfig",
    metrics: ProgramMetrics | None = None,
    on_hangup: Callable[[], None] | None = None,
) -> int:
    """Run what ``factory`` makes (it is called in the loop) until it ends or a signal comes; return the exit status.

    The first SIGINT or SIGTERM drains, the second ends at once. SIGHUP calls ``on_hangup``,
    or that of the service, or drains without either.
    ``metrics`` are served where the configuration says. Every error ends as one line on stderr and a status.
    """
    setup_logging(level=config.log_level, log_format=config.log_format)
    process = _Process(factory, config, metrics, on_hangup)
    try:
        raise_open_file_limit()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(process.main())
    except asyncio.CancelledError:
        return process.forced_status
    except Exception as error:  # noqa: BLE001  # the top of the process: nothing may end as a bare traceback
        return report_error(error, program=config.program, log_format=config.log_format)
    return 0


class _Process:
    """One run of one service, and what the signals do to it."""

    def __init__(
        self,
        factory: Callable[[], Service],
        config: "DaemonConfig",
        metrics: ProgramMetrics | None,
        on_hangup: Callable[[], None] | None,
    ) -> None:
        self._factory = factory
        self._config = config
        self._metrics = metrics
        self._on_hangup = on_hangup
        self._log = get_logger(config.program)
        self._is_stopping = False
        self.forced_status = SIGNAL_EXIT_BASE + signal.SIGINT

    async def main(self) -> None:
        asyncio.get_running_loop().set_exception_handler(self._on_loop_trouble)
        service = self._factory()
        with self._signal_handlers(service):
            try:
                async with self._metrics_endpoint():
                    await service.start()
                    calm_garbage_collector()
                    self._log.info("started", version=__version__)
                    notify_systemd("READY=1")
                    await service.run()
            finally:
                notify_systemd("STOPPING=1")
                await service.stop()
        self._log.info("stopped")

    def _on_loop_trouble(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A callback failed. asyncio's own words hold the callback's arguments, which may be bytes of a card."""
        where = str(context.get("message", "")).partition("(")[0]
        self._log.error("internal_error", where=where, exc_info=context.get("exception"))

    @contextlib.asynccontextmanager
    async def _metrics_endpoint(self) -> AsyncIterator[None]:
        if self._config.metrics is None or self._metrics is None:
            yield
            return
        async with await serve_metrics(self._config.metrics, self._metrics) as server:
            self._log.info("metrics_listening", address=server.address)
            yield

    @contextlib.contextmanager
    def _signal_handlers(self, service: Service) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            # Signals belong to the main thread; a program that embeds a service elsewhere stops it itself.
            yield
            return
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        on_hangup = self._on_hangup
        if on_hangup is None and isinstance(service, Reloadable):
            on_hangup = service.on_hangup
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and on_hangup is not None:
                loop.add_signal_handler(number, on_hangup)
            else:
                loop.add_signal_handler(number, self._on_stop_signal, number, service, task)
        # Programs of the C suite tell of their memory on SIGUSR1 (rspro.md, 12); that habit must not end one of ours.
        loop.add_signal_handler(signal.SIGUSR1, self._log.debug, "signal_ignored")
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
                loop.remove_signal_handler(number)

    def _on_stop_signal(self, number: signal.Signals, service: Service, task: asyncio.Task[object] | None) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._log.info("stopping", signal=number.name)
            service.request_stop()
            return
        self._log.warning("stopping_by_force", signal=number.name)
        self.forced_status = SIGNAL_EXIT_BASE + number
        if task is not None:
            task.cancel()


def raise_open_file_limit() -> None:
    """Raise the soft limit of open files to the hard one: each peer costs a descriptor, a card several."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def calm_garbage_collector() -> None:
    """Let full collections be rare, and pass by what the start has made.

    Each one stops the loop for as long as it takes to look at every object: with ten thousand peers and the
    interpreter's own defaults that is a third of a second, again and again. What the start has dropped is passed by,
    too: it is little, and to look for it takes a tenth of the start.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def notify_systemd(state: str) -> None:
    """Send ``state`` to the service manager (sd_notify(3)), if there is one that listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto(state.encode(), address)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
