# SPDX-License-Identifier: Apache-2.0
"""Field types of the configuration models: which Python value each setting has and how strictly it is read.

A TOML value has a type of its own and must have the right one: ``bank_id = "1"`` is an error, not a 1. The
environment and the command line only have text (``values.Text``), which is converted here.
"""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, Strict

from remsim.card.apdu_case import CaseOverride, parse_override
from remsim.config.values import (
    BANKD_PORT,
    GSMTAP_PORT,
    LOOPBACK_NETWORKS,
    METRICS_PORT,
    REST_PORT,
    RSPRO_PORT,
    VPCD_PORT,
    HostPort,
    IpNetwork,
    SettingText,
    ValueTextError,
    parse_atr_bytes,
    parse_id_pool,
    parse_networks,
)
from remsim.core.ids import MAX_ID, ClientSlot, check_id

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
#: RSPRO: ComponentName is an IA5String of 1..32 characters.
_COMPONENT_NAME: Final = re.compile(r"[\x20-\x7e]{1,32}")
#: No user and password: the exporter has headers for that, which are no part of an address that ends up in a log.
_COLLECTOR_URL: Final = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{1,5})?(?:/[!-~]*)?", re.ASCII
)

T = TypeVar("T")


def _whole(value: object) -> object:
    if isinstance(value, SettingText):
        if re.fullmatch(r"-?[0-9]{1,18}", value.strip(), re.ASCII) is None:
            raise ValueTextError("is not a whole number")
        return int(value)
    return value


def _within(low: int, high: int) -> AfterValidator:
    def validate(value: int) -> int:
        if not low <= value <= high:
            raise ValueTextError(f"is outside {low}..{high}")
        return value

    return AfterValidator(validate)


def _number(what: str) -> BeforeValidator:
    """Text is read as a number of ``what``; anything else is left to the checks that follow."""

    def read(value: object) -> object:
        if isinstance(value, SettingText):
            try:
                return float(value)
            except ValueError:
                raise ValueTextError(f"is not a number{what}") from None
        return value

    return BeforeValidator(read)


def _switch(value: object) -> object:
    if isinstance(value, SettingText):
        word = value.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueTextError("is neither true nor false")
        return word in _TRUE
    return value


def _plain(value: object) -> object:
    return str(value) if isinstance(value, SettingText) else value


def _parsed(kind: type[T], what: str, parse: Callable[[str], T]) -> Callable[[object], T]:
    """Accept a value of ``kind``, or a string that ``parse`` reads; anything else is named as the wrong type."""

    def validate(value: object) -> T:
        if isinstance(value, kind) and not isinstance(value, str):
            return value
        if isinstance(value, str):
            return parse(value)
        raise ValueTextError(f"must be {what}")

    return validate


def _host_port(default_port: int) -> PlainValidator:
    def parse(text: str) -> HostPort:
        return HostPort.parse(text, default_port=default_port)

    return PlainValidator(_parsed(HostPort, 'a string "HOST:PORT"', parse))


def _rest_listen(text: str) -> HostPort:
    """Like HostPort.parse, and the URL of a server's REST: one variable serves the server and those who ask it."""
    scheme, mark, behind = text.strip().partition("://")
    host, _, path = behind.partition("/")
    is_url = bool(mark and host) and scheme.lower() in ("http", "https") and not path
    return HostPort.parse(host if is_url else text, default_port=REST_PORT)


def _callable_host_port(default_port: int) -> PlainValidator:
    """Like _host_port, for an address that somebody is to call: it must name one host."""

    def parse(text: str) -> HostPort:
        address = HostPort.parse(text, default_port=default_port)
        if address.is_every_address:
            raise ValueTextError(f"{text!r} is not the address of a single host")
        return address

    return PlainValidator(_parsed(HostPort, 'a string "HOST:PORT"', parse))


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise ValueTextError("is no file name")
    return Path(text)


def _collector_url(text: str) -> str:
    """What OpenTelemetry's exporter is given: with the standard path, if it has none."""
    if _COLLECTOR_URL.fullmatch(text) is None:
        raise ValueTextError(f"{text!r} is no address of a collector, such as http://127.0.0.1:4318")
    base = text.rstrip("/")
    return text if "/" in base.partition("://")[2] else f"{base}/v1/traces"


def _component_name(text: str) -> str:
    if _COMPONENT_NAME.fullmatch(text) is None:
        raise ValueTextError(f"{text!r} is no component name: 1..32 printable ASCII characters")
    return text


def _hex_byte(value: object) -> int:
    """Text only: the number 94 in a TOML file would be the byte 5E."""
    if not isinstance(value, str) or re.fullmatch(r"[0-9A-Fa-f]{2}", value.strip(), re.ASCII) is None:
        raise ValueTextError('must be a string of two hex digits, such as "94"')
    return int(value, 16)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, OverflowError) as error:
        raise ValueTextError(f"{text!r} is no regular expression: {error}") from None
    except RecursionError:
        raise ValueTextError("is nested too deeply for a regular expression") from None


def _id_key(table: str, what: str) -> Callable[[object], int]:
    """Read the key of a table in ``table`` as the number of a ``what``."""

    def validate(value: object) -> int:
        text = str(value)
        if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) is None:
            raise ValueTextError(f"[{table}.{text}]: {text!r} is no {what}")
        return check_id(int(text), what)

    return validate


def items(value: object) -> object:
    """Turn the text ``a,b`` into a list; one item need not be written as a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _id_pool(value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        return parse_id_pool(value)
    if isinstance(value, list | tuple) and value:
        parts = [item for item in value if isinstance(item, int | str) and not isinstance(item, bool)]
        if len(parts) == len(value):
            return parse_id_pool(",".join(str(part) for part in parts))
    raise ValueTextError('must be a string such as "900-999" or a list of numbers')


def _plaintext(value: object) -> tuple[IpNetwork, ...] | None:
    """Bare or true: from loopback only; a list or text: those networks; false: not allowed at all."""
    if isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE | {""}:
        value = value.strip().lower() not in _FALSE
    if value is None or value is False:
        return None
    if value is True:
        return LOOPBACK_NETWORKS
    if isinstance(value, str):
        return parse_networks(value)
    if isinstance(value, list | tuple) and value:
        texts = [str(item) for item in value if isinstance(item, str | ipaddress.IPv4Network | ipaddress.IPv6Network)]
        if len(texts) == len(value):
            return parse_networks(",".join(texts))
    raise ValueTextError("must be true, false, or networks such as 10.0.0.0/8")


def _networks(value: object) -> tuple[IpNetwork, ...]:
    if isinstance(value, str):
        return parse_networks(value) if value.strip() else ()
    if isinstance(value, list | tuple):
        texts = [str(item) for item in value if isinstance(item, str | ipaddress.IPv4Network | ipaddress.IPv6Network)]
        if len(texts) == len(value):
            return parse_networks(",".join(texts)) if texts else ()
    raise ValueTextError("must be networks such as 10.0.0.0/8")


def _ids_or_switch(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"true", "false", "yes", "no", "on", "off"}:
        return _switch(SettingText(value))
    return _id_pool(value)


Id = Annotated[int, BeforeValidator(_whole), Strict(), _within(0, MAX_ID)]
#: RSPRO declares numberOfSlots as a SlotNumber, so 1023 is the most that a bank can announce.
SlotCount = Annotated[int, BeforeValidator(_whole), Strict(), _within(1, MAX_ID)]
Count = Annotated[int, BeforeValidator(_whole), Strict(), _within(1, 1_000_000)]
Seconds = Annotated[float, _number(" of seconds"), Field(gt=0, le=86400, strict=True, allow_inf_nan=False)]
Megabytes = Annotated[float, _number(" of megabytes"), Field(ge=0.001, le=100_000, strict=True, allow_inf_nan=False)]
Days = Annotated[float, _number(" of days"), Field(gt=0, le=36_500, strict=True, allow_inf_nan=False)]
#: From next to nothing to all.
Share = Annotated[float, _number(""), Field(gt=0, le=1, strict=True, allow_inf_nan=False)]
#: Milliseconds.
CardTime = Annotated[float, _number(" of seconds"), Field(ge=0, le=10_000, strict=True, allow_inf_nan=False)]
HoldTime = Annotated[float, _number(" of seconds"), Field(gt=0, le=3600, strict=True, allow_inf_nan=False)]
Switch = Annotated[bool, BeforeValidator(_switch), Strict()]
PlainText = Annotated[str, BeforeValidator(_plain), Strict(), Field(min_length=1)]
Name = Annotated[str, PlainValidator(_parsed(str, "a string", _component_name))]
CollectorUrl = Annotated[str, PlainValidator(_parsed(str, "a string", _collector_url))]
FilePath = Annotated[Path, PlainValidator(_parsed(Path, "a string", _path))]
Atr = Annotated[bytes, PlainValidator(_parsed(bytes, "a string of hex bytes", parse_atr_bytes))]
ClientSlotField = Annotated[ClientSlot, PlainValidator(_parsed(ClientSlot, 'a string "ID:SLOT"', ClientSlot.parse))]
HexByte = Annotated[int, PlainValidator(_hex_byte)]
Pattern = Annotated[re.Pattern[str], PlainValidator(_parsed(re.Pattern, "a string", _pattern))]

RsproListen = Annotated[HostPort, _host_port(RSPRO_PORT)]
RestListen = Annotated[HostPort, PlainValidator(_parsed(HostPort, 'a string "HOST:PORT"', _rest_listen))]
BankdListen = Annotated[HostPort, _host_port(BANKD_PORT)]
MetricsListen = Annotated[HostPort, _host_port(METRICS_PORT)]
ServerAddress = Annotated[HostPort, _callable_host_port(RSPRO_PORT)]
BankdAddress = Annotated[HostPort, _callable_host_port(BANKD_PORT)]
GsmtapAddress = Annotated[HostPort, _callable_host_port(GSMTAP_PORT)]
VpcdAddress = Annotated[HostPort, _callable_host_port(VPCD_PORT)]
#: An address to announce; port 0 (also: none written) stands for the port that the program really listens on.
AdvertisedAddress = Annotated[HostPort, _callable_host_port(0)]

BankdAddresses = Annotated[tuple[BankdAddress, ...], BeforeValidator(items)]
AdvertisedAddresses = Annotated[tuple[AdvertisedAddress, ...], BeforeValidator(items)]
BankKey = Annotated[int, PlainValidator(_id_key("banks", "bank id"))]
#: Of `[overrides.N]`.
SlotKey = Annotated[int, PlainValidator(_id_key("overrides", "slot number"))]
CommandCase = Annotated[
    CaseOverride, PlainValidator(_parsed(CaseOverride, 'a string such as "80/F0 E0 = 3"', parse_override))
]
CommandCases = Annotated[tuple[CommandCase, ...], BeforeValidator(items)]
IdPool = Annotated[tuple[int, ...], PlainValidator(_id_pool)]
Networks = Annotated[tuple[IpNetwork, ...], PlainValidator(_networks)]
Plaintext = Annotated[tuple[IpNetwork, ...] | None, PlainValidator(_plaintext)]
IdsOrSwitch = Annotated[bool | tuple[int, ...], PlainValidator(_ids_or_switch)]
