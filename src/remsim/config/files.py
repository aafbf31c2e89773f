# SPDX-License-Identifier: Apache-2.0
"""A program's files: where they are, and how text is read as people and their editors write it, in UTF-8.

Imports no pydantic, unlike the settings: commands that have no settings read files, too.
"""

import codecs
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from remsim.core.errors import ConfigError, RemsimError

#: Directory of a program's certificate within its state directory, and of an authority within the server's.
CREDENTIALS_NAME: Final = "tls"
AUTHORITY_NAME: Final = "ca"

#: A configuration file is a few kilobytes; anything larger is the wrong file.
MAX_FILE_BYTES: Final = 1 << 20

#: Marks of encodings that editors offer under names such as "Unicode", longest first: UTF-32 begins as UTF-16 does.
_FOREIGN_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
#: So many bytes at the beginning tell UTF-16 without a mark: every other one is zero where letters are Latin.
_SAMPLE: Final = 64

_HINT: Final = "save it as UTF-8"


class TextError(RemsimError):
    """A file is no UTF-8 text. The message goes on from the file's name."""


def decode_text(raw: bytes) -> str:
    """The text, without its mark. Raises TextError, which names UTF-16 as what it is."""
    for mark, name in _FOREIGN_MARKS:
        if raw.startswith(mark):
            raise TextError(f"it is {name} text, not UTF-8", hint=_HINT)
    sample = raw[:_SAMPLE]
    if len(sample) >= 4 and (not any(sample[0::2]) or not any(sample[1::2])) and any(sample):
        raise TextError("it is UTF-16 text, not UTF-8", hint=_HINT)
    try:
        return raw.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise TextError(f"byte {error.start} is not UTF-8", hint=_HINT) from None


def read_text(path: Path) -> str:
    """The text of a file. Raises OSError and TextError."""
    return decode_text(path.read_bytes())


def default_state_dir(name: str, environ: Mapping[str, str]) -> Path:
    """Return the state directory of a program that was not told one; ``name`` is ``server``, ``bank-1``, ``client``.

    That is systemd's $STATE_DIRECTORY, else ``remsim/<name>`` under $XDG_STATE_HOME or ~/.local/state. Raises
    ConfigError if there is no home directory either.
    """
    if environ.get("STATE_DIRECTORY"):
        # systemd.exec(5): several directories are separated by colons; the first one is ours.
        return Path(environ["STATE_DIRECTORY"].partition(":")[0])
    if environ.get("XDG_STATE_HOME", "").startswith("/"):
        return Path(environ["XDG_STATE_HOME"], "remsim", name)
    if environ.get("HOME"):
        return Path(environ["HOME"], ".local", "state", "remsim", name)
    raise ConfigError("there is no home directory to keep state in", hint="name one with --state DIR")


def read_toml(file: Path) -> dict[str, object]:
    """Return the file's values as they are. Raises ConfigError."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"cannot read {file}: {reason}", hint="check the path given with --config") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{file} is larger than {MAX_FILE_BYTES} bytes", hint="is this the right file?")
    try:
        return tomllib.loads(decode_text(raw))
    except TextError as error:
        raise ConfigError(f"{file}: {error}", hint=error.hint) from None
    except ValueError as error:
        # TOMLDecodeError, or a number that Python does not convert for its length.
        raise ConfigError(f"{file}: {error}", hint="strings are quoted in TOML") from None
    except RecursionError:
        raise ConfigError(f"{file}: nested too deeply", hint="is this the right file?") from None
