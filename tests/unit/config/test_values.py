# SPDX-License-Identifier: Apache-2.0
"""Addresses, bytes, pools and networks as people write them."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.config.values import (
    HostPort,
    ValueTextError,
    parse_atr_bytes,
    parse_hex,
    parse_id_pool,
    parse_networks,
)
from remsim.core.errors import ConfigError, IdRangeError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9998", "127.0.0.1", 9998),
        ("bank.example:1", "bank.example", 1),
        ("bank_1.example.", "bank_1.example.", 7),
        ("[::1]:9998", "::1", 9998),
        ("[fe80::1%eth0]:9", "fe80::1%eth0", 9),
        ("[::1]", "::1", 7),
        ("::1", "::1", 7),
        ("2001:DB8::0:1", "2001:db8::1", 7),
        (":0", "", 0),
        ("*:9998", "", 9998),
        ("host", "host", 7),
        (" host:5 ", "host", 5),
        ("host:65535", "host", 65535),
    ],
)
def test_address_text_is_read(text: str, host: str, port: int) -> None:
    assert HostPort.parse(text, default_port=7) == HostPort(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "host:1:2",
        "host: 1",
        "[::1",
        "[::1]x",
        "[nope]:1",
        "a b:1",
        "300.1.1.1:1",
        "-a:1",
        "a..b:1",
        "host:٣",
        "ho\nst:1",
        "x" * 300 + ":1",
    ],
)
def test_address_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueTextError):
        HostPort.parse(text, default_port=7)


def test_address_without_port_needs_a_default() -> None:
    with pytest.raises(ConfigError, match="names no port"):
        HostPort.parse("host")


def test_url_instead_of_an_address_is_called_one() -> None:
    """As in REMSIM_REST, which is an address for the server and a URL for those who ask it."""
    with pytest.raises(ValueTextError, match="'https://host:1/x' is a URL") as caught:
        HostPort.parse("https://host:1/x", default_port=7)
    assert caught.value.hint.endswith(": host:1")


def test_address_out_of_range_cannot_be_built() -> None:
    with pytest.raises(ConfigError):
        HostPort("host", 65536)


@given(
    st.one_of(st.ip_addresses().map(str), st.just(""), st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z]", fullmatch=True)),
    st.integers(0, 65535),
)
def test_address_can_be_read_back_from_its_text(host: str, port: int) -> None:
    assert HostPort.parse(str(HostPort(host, port))) == HostPort(host, port)


@given(st.text())
def test_any_text_is_an_address_or_one_error(text: str) -> None:
    with contextlib.suppress(ValueTextError):
        HostPort.parse(text, default_port=1)


@pytest.mark.parametrize(
    ("host", "is_every", "is_loopback"),
    [
        ("", True, False),
        ("0.0.0.0", True, False),
        ("::", True, False),
        ("127.3.2.1", False, True),
        ("::1", False, True),
        ("LocalHost.", False, True),
        ("192.0.2.1", False, False),
        ("host", False, False),
    ],
)
def test_address_knows_its_reach(host: str, is_every: bool, is_loopback: bool) -> None:
    address = HostPort(host, 1)
    assert (address.is_every_address, address.is_loopback) == (is_every, is_loopback)
    assert address.with_port(2) == HostPort(host, 2)


@pytest.mark.parametrize("text", ["3b00", "3B 00", "3b:00", " 3b-00 ", "0x3b00", "3b, 00"])
def test_bytes_in_any_spacing_are_read(text: str) -> None:
    assert parse_hex(text) == bytes.fromhex("3b00")


@pytest.mark.parametrize("text", ["3b0", "zz", "3b 0x00", "٣٣"])
def test_bytes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueTextError):
        parse_hex(text)


@pytest.mark.parametrize("length", [2, 55])
def test_atr_of_allowed_length_is_taken(length: int) -> None:
    assert parse_atr_bytes("3b" * length) == b"\x3b" * length


@pytest.mark.parametrize("length", [0, 1, 56])
def test_atr_of_other_length_is_refused(length: int) -> None:
    with pytest.raises(ValueTextError, match="bytes"):
        parse_atr_bytes("3b" * length)


@pytest.mark.parametrize(
    ("text", "expected"), [("5", (5,)), ("5-7", (5, 6, 7)), ("7, 5-6,6", (5, 6, 7)), ("0-1", (0, 1)), ("1023", (1023,))]
)
def test_pool_of_ids_is_read(text: str, expected: tuple[int, ...]) -> None:
    assert parse_id_pool(text) == expected


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "9-1", "1,,2", "1--2"])
def test_pool_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueTextError):
        parse_id_pool(text)


def test_pool_out_of_range_is_refused() -> None:
    with pytest.raises(IdRangeError, match="1024"):
        parse_id_pool("1000-1024")


def test_networks_are_read() -> None:
    assert parse_networks("10.0.0.0/8, ::1") == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))


@pytest.mark.parametrize("text", ["10.0.0.1/8", "x", "", "10.0.0.0/33"])
def test_network_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueTextError, match="not a network"):
        parse_networks(text)
