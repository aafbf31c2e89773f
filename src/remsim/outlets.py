# SPDX-License-Identifier: Apache-2.0
"""Where a program keeps or sends the commands of its slots, as its settings say: captures, and spans."""

from remsim.captures import Rolling, SlotCaptures
from remsim.config.models import TraceSettings
from remsim.core.errors import StartError
from remsim.core.installation import install_command
from remsim.logs import Logger
from remsim.metrics import OutletMetrics
from remsim.trace.outlet import CommandOutlet

_MB = 1_000_000
_DAY_S = 86_400.0


class Outlets:
    """Those of one program. ``stop`` blocks for some seconds at most; call it in a thread."""

    def __init__(self, config: TraceSettings, *, program: str, log: Logger) -> None:
        """Raises StartError if what is asked for is not installed."""
        self._captures = _captures(config, log)
        self._spans = None
        endpoint = config.otel.endpoint
        if endpoint is not None:
            try:
                from remsim.spans.outlet import CommandSpans
            except ImportError as error:
                raise StartError(f"otel.endpoint needs OpenTelemetry: {error}", hint=install_command("otel")) from None
            self._spans = CommandSpans(endpoint, config.otel.share, program=program, log=log)

    def each(self) -> list[CommandOutlet]:
        """Who is to be told of commands; often nobody."""
        return [outlet for outlet in (self._captures, self._spans) if outlet is not None]

    def show(self, metrics: OutletMetrics) -> None:
        """Show how much was kept and sent, and how much was lost."""
        if (captures := self._captures) is not None:
            metrics.captured.set_function(lambda: captures.written)
            metrics.captured_lost.set_function(lambda: captures.lost)
        if (spans := self._spans) is not None:
            metrics.spans.set_function(lambda: spans.sent)
            metrics.spans_lost.set_function(lambda: spans.lost)

    def stop(self) -> None:
        """Keep and send what waits."""
        for outlet in (self._captures, self._spans):
            if outlet is not None:
                outlet.stop()


def _captures(config: TraceSettings, log: Logger) -> SlotCaptures | None:
    if config.trace_dir is None:
        return None
    files = config.trace_files
    limits = Rolling(
        max_bytes=int(files.max_mb * _MB),
        max_age_s=files.max_s,
        keep=files.keep,
        keep_s=None if files.keep_days is None else files.keep_days * _DAY_S,
    )
    return SlotCaptures(config.trace_dir, limits, log=log, has_guesses=files.guesses)
