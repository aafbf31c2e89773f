# SPDX-License-Identifier: Apache-2.0
"""Errors as one line for a person. Imports next to nothing, because every command needs it."""

import contextlib
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from remsim.core.errors import RemsimError
from remsim.core.text import escape
from remsim.core.values import dataclass

if TYPE_CHECKING:
    from remsim.config import LogFormat

#: Exit status when a signal ended the program is 128 + signal number, as shells report it.
SIGNAL_EXIT_BASE: Final = 128


def report_error(error: BaseException, *, program: str, log_format: "LogFormat" = "text") -> int:
    """Tell a person what went wrong, in one line on stderr, and return the exit status.

    What is our own mistake rather than the environment's is logged with its traceback first.
    """
    leaves = _leaves(error)
    unexpected = next((leaf for leaf in leaves if not isinstance(leaf, RemsimError | OSError)), None)
    if unexpected is not None:
        # A program that runs has these two already; a command that has not come so far needs them for nothing else.
        from remsim.logs import get_logger
        from remsim.redaction import scrub

        get_logger(program).error("internal_error", exc_info=error)
        message = f"internal error: {type(unexpected).__name__}: {scrub(str(unexpected))}"
        hint, status = "please report it with the log lines above", RemsimError.exit_status
    elif isinstance(leaves[0], RemsimError):
        message, hint, status = str(leaves[0]), leaves[0].hint, leaves[0].exit_status
    else:
        message, hint, status = _system_error_text(leaves[0]), "", RemsimError.exit_status
    if log_format == "json":
        from remsim.logs import get_logger

        get_logger(program).error("failed", error=message, hint=hint)
    else:
        say_error(message, hint=hint, program=program)
    return status


@dataclass(frozen=True, slots=True)
class OtherName:
    """A program that runs under another name, with other options."""

    name: str
    #: Makes a text speak of that name and its options.
    translate: Callable[[str], str]


#: Set while a program runs under a name that is not ``remsim VERB``.
other_name: ContextVar[OtherName | None] = ContextVar("other_name", default=None)


def say_error(message: str, *, hint: str = "", program: str = "") -> None:
    """Write ``remsim PROGRAM: message; hint: hint`` as one line to stderr, whatever the texts contain."""
    name = "remsim" if program in ("", "remsim") else f"remsim {program}"
    text = message + (f"; hint: {hint}" if hint else "")
    if (other := other_name.get()) is not None:
        name, text = other.name, other.translate(text)
    line = f"{name}: {text}"
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(escape(line) + "\n")
        sys.stderr.flush()


def _system_error_text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
