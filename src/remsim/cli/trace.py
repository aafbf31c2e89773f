# SPDX-License-Identifier: Apache-2.0
"""``remsim trace``: what passes at a slot, live, from the server. Goes on by itself when the server was away."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from remsim.cli.options import (
    NO_COMMON_OPTIONS,
    NO_REST_OPTIONS,
    CommonOptions,
    Flag,
    RestOptions,
    command_app,
    resolve,
)
from remsim.core.errors import ConfigError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.text import counted, escape

if TYPE_CHECKING:
    from types import FrameType

    from remsim.captures import Rolling
    from remsim.cli.trace_output import TraceOutput
    from remsim.rest import Rest
    from remsim.rest.traces import TraceItem

app = command_app("trace", "Watch the commands at a slot live: decoded, as JSON, or for Wireshark.")

_SIZE: Final = re.compile(r"([0-9]{1,6})([kMG])", re.ASCII)
_SIZES: Final = {"k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_TIME: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_TIMES: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: A file in a folder ends at this size, unless told otherwise; and so many are kept.
_DEFAULT_SIZE: Final = "10M"
_DEFAULT_KEEP: Final = 10
#: How long to wait before the server is asked again, in seconds: longer each time.
_DELAYS_S: Final = (1.0, 2.0, 4.0, 8.0)
#: Problems that asking again does not mend.
_FINAL: Final = frozenset({400, 401, 403, 404})


def _option(text: str, metavar: str, name: str | None = None) -> Parameter:
    return Parameter(name=name, help=text, metavar=metavar, show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is written, and where."""

    pcapng: Annotated[
        str | None,
        Parameter(
            metavar="FILE",
            show_default=False,
            allow_leading_hyphen=True,
            help="Write a capture for Wireshark; - for a pipe.",
        ),
    ] = None
    folder: Annotated[str | None, _option("Write captures here, a new one by size or age.", "DIR", name="--dir")] = None
    rotate_size: Annotated[str | None, _option("With --dir: a new file at 500k, 10M (default), 1G.", "SIZE")] = None
    rotate_age: Annotated[str | None, _option("With --dir: a new file after 10m, 1h, 1d.", "TIME")] = None
    keep: Annotated[int | None, _option("With --dir: files of the slot (default: 10).", "N")] = None
    gsmtap_guesses: Annotated[
        Flag, Parameter(help="With --pcapng or --dir: also commands that no modem has sent, marked.")
    ] = None
    json: Annotated[Flag, Parameter(help="Print a JSON object a line.")] = None
    show_bytes: Annotated[Flag, Parameter(name="--bytes", help="Print the bytes, too; ** is hidden.")] = None


_NO_OUTPUT: Final = OutputOptions()


@app.default
def trace(
    slot: Annotated[str, Parameter(metavar="SLOT", help="A bank slot, B1:3, or a client slot, C7:0.")],
    /,
    *,
    output: OutputOptions = _NO_OUTPUT,
    count: Annotated[int | None, _option("End after so many records.", "N")] = None,
    server: RestOptions = NO_REST_OPTIONS,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """Watch the commands at a slot until Ctrl-C.

    The bankd and the client of the slot tell the server of each command while somebody watches, and no longer. Secrets
    are hidden before they leave them.
    """
    where = str(ClientSlot.parse(slot) if slot[:1] in "Cc" else BankSlot.parse(slot))
    rolling = _rolling(output)
    from remsim.config import CtlConfig
    from remsim.logs import setup_logging

    config = resolve(CtlConfig, common, **vars(server))
    setup_logging(level=config.log_level, log_format=config.log_format)
    from remsim.cli.main import on_closed_output
    from remsim.cli.rest import open_rest

    outputs = _outputs(where, output, rolling)
    # Like Ctrl-C: what is written is whole.
    signal.signal(signal.SIGTERM, _interrupt)
    with open_rest(config, os.environ, program="trace") as client, client.v2() as opened:
        watch = TraceWatch(opened, where, outputs, most=count)
        try:
            watch.run()
        except KeyboardInterrupt:
            watch.say(f"{counted(watch.records, 'record')} of {where}")
        except BrokenPipeError:
            # Who read has seen enough.
            on_closed_output()
        finally:
            for each in outputs:
                with suppress(BrokenPipeError):
                    each.close()
    return 0


def _missed(records: int | None) -> str:
    if records is None:
        return "records were missed, nobody knows how many"
    return f"{counted(records, 'record')} {'was' if records == 1 else 'were'} missed"


def _interrupt(_number: int, _frame: "FrameType | None") -> None:
    raise KeyboardInterrupt


class TraceWatch:
    """One trace, over all its streams. ``sleep`` and ``now`` are for tests."""

    def __init__(
        self,
        rest: "Rest",
        slot: str,
        outputs: "Sequence[TraceOutput]",
        *,
        most: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rest = rest
        self._slot = slot
        self._outputs = outputs
        self._most = most
        self._sleep = sleep
        self._now = now
        self._last: str | None = None
        #: Since when there is no stream; None: there is one.
        self._lost_at: float | None = None
        self._failures = 0
        self._ends = ""
        self._has_begun = False
        #: Records that were shown.
        self.records = 0

    def say(self, text: str) -> None:
        """Tell the person at the terminal; what is piped on is not mixed with it."""
        print(f"remsim trace: {escape(text)}", file=sys.stderr, flush=True)

    def run(self) -> None:
        """Until ``most`` records were shown. Raises RestApiError for what does not mend by itself."""
        from remsim.rest import RestApiError

        while True:
            try:
                for item in self._rest.trace(self._slot, self._last):
                    self._on_item(item)
                    if self._most is not None and self.records >= self._most:
                        return
                reason = "the server has ended the trace"
            except RestApiError as error:
                if error.status in _FINAL or not self._has_begun:
                    raise
                reason = str(error)
            self._wait(reason)

    def _wait(self, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = self._now()
            self.say(f"{reason}; trying again")
        self._sleep(_DELAYS_S[min(self._failures, len(_DELAYS_S) - 1)])
        self._failures += 1

    def _on_item(self, item: "TraceItem") -> None:
        from remsim.rest.trace_lines import ends_text
        from remsim.rest.traces import TraceEndsModel, TraceMissedModel

        if self._lost_at is not None:
            is_told = isinstance(item, TraceMissedModel)
            away = f"the server is back after {self._now() - self._lost_at:.0f} s"
            self.say(away if is_told else f"{away}; nothing was missed" if self._last else away)
            self._lost_at, self._failures = None, 0
        if not self._has_begun:
            self._has_begun = True
            for output in self._outputs:
                output.heading(self._slot)
        if isinstance(item, TraceMissedModel):
            self.say(_missed(item.records))
        elif isinstance(item, TraceEndsModel):
            said = ends_text(item)
            if said != self._ends:
                self._ends = said
                self.say(said)
        else:
            self._last = item.id
            self.records += 1
            for output in self._outputs:
                output.record(item)


def _outputs(slot: str, wanted: OutputOptions, rolling: "Rolling") -> "list[TraceOutput]":
    """What takes the records. Raises ConfigError and RemsimError."""
    from remsim.captures import RollingCapture
    from remsim.cli.trace_output import FileOutput, JsonOutput, LineOutput, RollingOutput

    pcapng, folder = wanted.pcapng, wanted.folder
    is_json, shows_bytes = bool(wanted.json), bool(wanted.show_bytes)
    has_guesses = bool(wanted.gsmtap_guesses)
    if has_guesses and pcapng is None and folder is None:
        raise ConfigError("--gsmtap-guesses is about captures", hint="add --pcapng FILE or --dir DIR")
    if pcapng is not None and folder is not None:
        raise ConfigError("--pcapng writes one file, --dir several", hint="give one of them")
    if pcapng == "-" and (is_json or shows_bytes):
        raise ConfigError("--pcapng - takes standard output", hint="leave out --json and --bytes")
    if is_json and shows_bytes:
        raise ConfigError("--json has the bytes already", hint="leave out --bytes")
    if pcapng == "-":
        if sys.stdout.isatty():
            raise ConfigError("a capture is nothing for a terminal", hint="pipe it on: --pcapng - | wireshark -k -i -")
        return [FileOutput(None, has_guesses=has_guesses)]
    outputs: list[TraceOutput] = [
        JsonOutput(sys.stdout) if is_json else LineOutput(sys.stdout, shows_bytes=shows_bytes)
    ]
    if pcapng is not None:
        outputs.append(FileOutput(Path(pcapng), has_guesses=has_guesses))
    if folder is not None:
        files = RollingCapture(Path(folder), slot, rolling)
        outputs.append(RollingOutput(files, Path(folder), has_guesses=has_guesses))
    return outputs


def _rolling(wanted: OutputOptions) -> "Rolling":
    """The limits of files. Raises ConfigError."""
    from remsim.captures import Rolling

    folder, size, age, keep = wanted.folder, wanted.rotate_size, wanted.rotate_age, wanted.keep
    if folder is None and any(each is not None for each in (size, age, keep)):
        raise ConfigError("--rotate-size, --rotate-age and --keep are about --dir", hint="add --dir DIR")
    if keep is not None and keep < 1:
        raise ConfigError(f"--keep {keep}: there is one file at least", hint="give 1 or more")
    found_size = _SIZE.fullmatch(_DEFAULT_SIZE if size is None else size)
    if found_size is None:
        raise ConfigError(f"{size!r} is no size", hint="write it as 500k, 10M or 1G")
    found_age = None if age is None else _TIME.fullmatch(age)
    if age is not None and found_age is None:
        raise ConfigError(f"{age!r} is no time", hint="write it as 10m, 1h or 1d")
    return Rolling(
        max_bytes=int(found_size[1]) * _SIZES[found_size[2]],
        max_age_s=None if found_age is None else int(found_age[1]) * _TIMES[found_age[2]],
        keep=_DEFAULT_KEEP if keep is None else keep,
    )
