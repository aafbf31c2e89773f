# SPDX-License-Identifier: Apache-2.0
"""What programs hand over, checked before it is used; errors name the argument, not an option of the command line."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from remsim.core.errors import RemsimError

#: Where the command line finds a certificate, too. Other settings of the environment are for programs of ours only.
_PLACES: Final = ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME", "REMSIM_TLS_DIR")

_PATH: Final = (str, os.PathLike)
_KINDS: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "server": ((str, type(None)), 'a string "HOST:PORT"'),
    "client": ((str, type(None)), 'a string "ID:SLOT"'),
    "config": ((*_PATH, type(None)), "the path of a TOML file"),
    "tls": ((*_PATH, type(None)), "the path of a directory"),
    "plaintext": ((str, bool, type(None)), 'True, False, or networks such as "10.0.0.0/8"'),
    "card_wait_s": ((int, float), "a number of seconds"),
    "auto_get_response": ((bool,), "True or False"),
    "answer_timeout_s": ((int, float), "a number of seconds"),
    "timeout_s": ((int, float), "a number of seconds"),
}


#: As in the programs' settings. What is no number, as float("nan") is, would be waited for without end.
_MOST_SECONDS: Final = 86400.0

#: An option of the command line, in an error that the programs share with us, with its value or its variable.
_OPTION: Final = re.compile(
    r"--(server|client|config|tls|plaintext)(?:=([^\s,;)]+)| ([A-Z]+(?::[A-Z]+)?)\b|( \(REMSIM_[A-Z_]+=1\)))?(?![\w-])"
)
_HELP: Final = ("remsim client --help", "help(remsim.connect)")


class ArgumentError(RemsimError, TypeError):
    """An argument of the wrong type, or a number of seconds that is none to wait for."""


def check_arguments(**arguments: object) -> None:
    """Raise ArgumentError for the first one that is of the wrong type or out of range."""
    for name, value in arguments.items():
        types, expected = _KINDS[name]
        is_number = isinstance(value, bool) and bool not in types
        if not isinstance(value, types) or is_number:
            raise ArgumentError(f"{name} must be {expected}, not {type(value).__name__}")
        if name.endswith("_s") and isinstance(value, int | float) and not 0 <= value <= _MOST_SECONDS:
            raise ArgumentError(f"{name} must be {expected}, 0 to {_MOST_SECONDS:.0f}, not {value}")


@contextmanager
def arguments_named() -> Iterator[None]:
    """Let errors name arguments where they name options of ``remsim client``, which nobody has typed."""
    try:
        yield
    except RemsimError as error:
        error.args = (_with_arguments(str(error)), *error.args[1:])
        error.hint = _with_arguments(error.hint)
        raise


def _with_arguments(text: str) -> str:
    return _OPTION.sub(_argument, text.replace(*_HELP))


def _argument(found: re.Match[str]) -> str:
    name, value, example, variable = found.groups()
    if variable:
        return f"{name}=True"
    return f'{name}="{value or example}"' if value or example else str(name)


def command_bytes(command: object) -> bytes:
    """A command as bytes. Raises ArgumentError for text, numbers and the like."""
    if isinstance(command, bytes | bytearray | memoryview):
        return bytes(command)
    hint = "bytes.fromhex() makes bytes of hex digits" if isinstance(command, str) else ""
    raise ArgumentError(f"a command must be bytes, not {type(command).__name__}", hint=hint)


def command_list(command: object) -> list[int]:
    """A command in pyscard's shape, a list of numbers 0..255. Raises ArgumentError for anything else."""
    if isinstance(command, Iterable) and not isinstance(command, str):
        numbers = list(command)
        if all(isinstance(number, int) and 0 <= number <= 255 for number in numbers):
            return numbers
    hint = "smartcard.util.toBytes() makes such a list of hex digits" if isinstance(command, str) else ""
    raise ArgumentError(f"a command must be a list of numbers 0..255, not {_shown(command)}", hint=hint)


def _shown(command: object) -> str:
    """Its type; never what is in it, which may be a PIN."""
    return "a list with something else in it" if isinstance(command, list) else type(command).__name__


def places() -> dict[str, str]:
    """The part of the environment that says where a certificate is."""
    return {name: os.environ[name] for name in _PLACES if name in os.environ}
