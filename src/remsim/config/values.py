# SPDX-License-Identifier: Apache-2.0
"""Value types of settings: addresses, byte strings, networks, number pools, and what text they are written in.

Knows how a person writes one value; refuses to know where the value came from (see ``config.load``) and which
program uses it (see ``config.models``).
"""

import ipaddress
import re
from typing import Final, Self

from remsim.core.errors import ConfigError
from remsim.core.ids import MAX_ID, check_id
from remsim.core.values import dataclass

#: Default TCP ports of the C suite (rspro.md, section 1), kept.
BANKD_PORT: Final = 9999
RSPRO_PORT: Final = 9998
REST_PORT: Final = 9997
#: GSMTAP's registered UDP port.
GSMTAP_PORT: Final = 4729
#: No registered port exists for our metrics; 9996 continues the classic row downwards.
METRICS_PORT: Final = 9996
#: Where vsmartcard's vpcd waits for the card of its first reader.
VPCD_PORT: Final = 35963

#: A classic client accepts 2..55 bytes for its own ATR (RSPRO: ATR is at most 55 bytes).
MIN_ATR: Final = 2
MAX_ATR: Final = 55

#: What a URL begins with.
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,15}://", re.ASCII | re.IGNORECASE)
_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?", re.ASCII
)
_HEX_SPACING: Final = re.compile(r"[\s:,.-]+")

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK_NETWORKS: Final[tuple[IpNetwork, ...]] = (
    ipaddress.IPv4Network("127.0.0.0/8"),
    ipaddress.IPv6Network("::1/128"),
)


class ValueTextError(ConfigError, ValueError):
    """A text that is no value of the wanted type. Also a ValueError, so that validators may raise it."""


class SettingText(str):
    """A value that arrived as text (environment, command line) and so may be converted; TOML values have types."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where to listen or whom to call: a host name or address, and a TCP or UDP port.

    An empty ``host`` means, for listening, every address of both IP versions. Port 0 means, for listening, any free
    port. The text form (``str()``) can be parsed again: ``host:9998``, ``[::1]:9998``, ``:9998``.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 0xFFFF:
            raise ValueTextError(f"port {self.port} is outside 0..65535")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_every_address(self) -> bool:
        """True if this stands for all local addresses, which is no address that a peer could call."""
        return self.host in ("", "0.0.0.0", "::")

    @property
    def is_loopback(self) -> bool:
        """True if the host can only be reached from the same machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower().rstrip(".") == "localhost"

    def with_port(self, port: int) -> "HostPort":
        """Return the same host with another port, for instance the one that the system chose for port 0."""
        return HostPort(self.host, port)

    @classmethod
    def parse(cls, text: str, *, default_port: int | None = None) -> Self:
        """Read ``HOST:PORT``, ``HOST``, ``:PORT``, ``[::1]:PORT``, ``[::1]`` or ``::1``.

        ``*`` and an empty host mean every address. Raises ValueTextError; a missing port is an error without
        ``default_port``.
        """
        text = text.strip()
        if (scheme := _SCHEME.match(text)) is not None:
            bare = text[scheme.end() :].partition("/")[0]
            raise ValueTextError(f"{text!r} is a URL", hint=f"write HOST:PORT, without https:// or http://: {bare}")
        host, port_text = _split_host_port(text)
        if port_text is None:
            if default_port is None or not host:
                raise ValueTextError(f"{text!r} names no port", hint="write HOST:PORT, for example 127.0.0.1:9998")
            return cls(_check_host(host), default_port)
        if re.fullmatch(r"[0-9]{1,5}", port_text, re.ASCII) is None or int(port_text) > 0xFFFF:
            raise ValueTextError(f"{port_text!r} in {text!r} is no port number (0..65535)")
        return cls(_check_host("" if host == "*" else host), int(port_text))


def _split_host_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise ValueTextError(f"{text!r} is no address", hint="write an IPv6 address as [ADDRESS]:PORT")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _check_host(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    last_label = host.rstrip(".").rpartition(".")[2]
    if host and (_HOST_NAME.fullmatch(host) is None or last_label.isdecimal()):
        raise ValueTextError(f"{host!r} is neither an IP address nor a host name")
    return host


def parse_hex(text: str) -> bytes:
    """Read bytes in hex, in any case and with spaces, colons, dashes, dots or commas between them.

    Raises ValueTextError.
    """
    digits = _HEX_SPACING.sub("", text.strip().removeprefix("0x"))
    if len(digits) % 2 or re.fullmatch(r"[0-9A-Fa-f]*", digits, re.ASCII) is None:
        raise ValueTextError(f"{text!r} is not a row of bytes in hex")
    return bytes.fromhex(digits)


def parse_atr_bytes(text: str) -> bytes:
    """Read an ATR in hex and check its length only, as the classic client does. Raises ValueTextError."""
    atr = parse_hex(text)
    if not MIN_ATR <= len(atr) <= MAX_ATR:
        raise ValueTextError(f"an ATR has {MIN_ATR}..{MAX_ATR} bytes, {text!r} has {len(atr)}")
    return atr


def parse_id_pool(text: str) -> tuple[int, ...]:
    """Read numbers and ranges, ``900-999`` or ``5, 7, 900-999``, into ascending distinct ids.

    Raises ValueTextError, and IdRangeError for a number outside 0..1023.
    """
    ids: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part, re.ASCII)
        if match is None:
            raise ValueTextError(f"{part.strip()!r} is neither a number nor a range", hint="write for example 900-999")
        first = check_id(int(match[1]), "client id")
        last = check_id(int(match[2] or match[1]), "client id")
        if last < first:
            raise ValueTextError(f"the range {part.strip()} runs backwards")
        ids.update(range(first, last + 1))
    return tuple(sorted(ids))


def parse_networks(text: str) -> tuple[IpNetwork, ...]:
    """Read ``10.0.0.0/8,fd00::/8``; a single address is a network of one. Raises ValueTextError."""
    networks: list[IpNetwork] = []
    for part in text.split(","):
        try:
            networks.append(ipaddress.ip_network(part.strip()))
        except ValueError:
            raise ValueTextError(
                f"{part.strip()!r} is not a network", hint="write ADDRESS/BITS with no bits set behind the prefix"
            ) from None
    return tuple(networks)


__all__ = [
    "BANKD_PORT",
    "GSMTAP_PORT",
    "LOOPBACK_NETWORKS",
    "MAX_ATR",
    "MAX_ID",
    "METRICS_PORT",
    "MIN_ATR",
    "REST_PORT",
    "RSPRO_PORT",
    "HostPort",
    "IpNetwork",
    "SettingText",
    "ValueTextError",
    "parse_atr_bytes",
    "parse_hex",
    "parse_id_pool",
    "parse_networks",
]
