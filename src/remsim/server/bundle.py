# SPDX-License-Identifier: Apache-2.0
"""What is put into a diagnostics bundle that may become public: values made anonymous, and packed. Pure.

Numbers of cards and subscribers, addresses, names of hosts and labels become aliases: the same in all files of one
bundle, others in the next, so that a reader can follow a peer through it and learns nothing of who that is.
"""

import gzip
import io
import ipaddress
import json
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from remsim.redaction import mask_tokens, scrub

#: Shortened numbers as our own texts have them, and numbers in full.
_SHORTENED: Final = re.compile(r"[0-9A-F]{5,6}…[0-9A-F]{2,4}")
_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z.])[0-9]{6,}(?![0-9A-Za-z])", re.ASCII)
#: What names a session in traces.
_SESSION: Final = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{12}(?=-[0-9])", re.ASCII)
_IPV4: Final = re.compile(r"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9.])", re.ASCII)
#: What may be an address of IPv6: one with two colons.
_HEXADECIMAL: Final = re.compile(r"(?<![0-9A-Za-z:.])[0-9A-Fa-f:.]+(?![0-9A-Za-z:])", re.ASCII)
#: A time of day looks like an address of IPv6.
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", re.ASCII)
_FILE_MODE: Final = 0o600


class Anonymizer:
    """For one bundle. ``names`` are what must not be told, by what they are called instead."""

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        self._aliases: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        known = {name: kind for kind, each in names.items() for name in each if name}
        self._kinds = known
        # The longest first: one name may be a part of another.
        parts = [re.escape(name) for name in sorted(known, key=len, reverse=True)]
        self._names = re.compile(rf"(?<![0-9A-Za-z_])(?:{'|'.join(parts)})(?![0-9A-Za-z_])") if parts else None

    def value(self, value: object) -> object:
        """A value of JSON with all its texts made anonymous; numbers, and the names of members, stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {str(key): self.value(each) for key, each in value.items()}
        if isinstance(value, Sequence):
            return [self.value(each) for each in value]
        return value

    def text(self, text: str) -> str:
        """One text."""
        if _TIME.fullmatch(text):
            return text
        if self._names is not None:
            text = self._names.sub(lambda found: self._alias(self._kinds[found[0]], found[0]), text)
        text = _SESSION.sub(lambda found: self._alias("session", found[0]), mask_tokens(text))
        for pattern in (_HEXADECIMAL, _IPV4):
            text = pattern.sub(self._address, text)
        text = _SHORTENED.sub(lambda found: self._alias("card", found[0]), text)
        text = _NUMBER.sub(lambda found: self._alias("number", found[0]), text)
        return scrub(text)

    def _address(self, found: re.Match[str]) -> str:
        # Behind it the sentence may go on, or end.
        text = found[0].rstrip(".")
        text = text if text.endswith("::") else text.rstrip(":")
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return found[0]
        if address.is_loopback or address.is_unspecified:
            return found[0]
        return self._alias("address", str(address)) + found[0][len(text) :]

    def _alias(self, kind: str, original: str) -> str:
        alias = self._aliases.get(original)
        if alias is None:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            alias = self._aliases[original] = f"{kind}#{self._counts[kind]}"
        return alias


def pack(folder: str, files: Mapping[str, str], at: float) -> bytes:
    """An archive (tar.gz) with these texts in one folder; ``at`` is when it was made, in seconds since 1970."""
    raw = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=int(at)) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, text in files.items():
            content = text.encode()
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(at), _FILE_MODE
            archive.addfile(entry, io.BytesIO(content))
    return raw.getvalue()


def as_json(value: object) -> str:
    """For people to read."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def as_lines(values: Iterable[object]) -> str:
    """An object a line."""
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
