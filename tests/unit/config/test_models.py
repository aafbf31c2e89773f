# SPDX-License-Identifier: Apache-2.0
"""What the models derive from their settings, and which combinations they refuse."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from remsim.config import (
    BankdConfig,
    ClientConfig,
    HostPort,
    KeepAliveSettings,
    PcscdSocket,
    ServerConfig,
    SlotReader,
    SlotSource,
)

STATE = Path("state")


def test_rest_is_on_all_addresses_only_over_tls_or_where_that_was_asked_for() -> None:
    silent, told = ServerConfig(state_dir=STATE), ServerConfig(state_dir=STATE, rest=HostPort("192.0.2.1", 1))
    assert silent.rest_address(is_protected=True) == HostPort("", 9997)
    assert silent.rest_address(is_protected=False) == HostPort("127.0.0.1", 9997)
    assert told.rest_address(is_protected=True) == told.rest_address(is_protected=False) == told.rest


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5", HostPort("127.0.0.1", 5)),
        ("https://lab.example:5", HostPort("lab.example", 5)),
        ("http://[::1]:5/", HostPort("::1", 5)),
        ("HTTPS://lab.example", HostPort("lab.example", 9997)),
    ],
)
def test_where_rest_is_may_be_written_as_the_url_that_callers_have(text: str, address: HostPort) -> None:
    assert ServerConfig.model_validate({"state_dir": STATE, "rest": text}).rest == address


@pytest.mark.parametrize("text", ["https://lab.example/below", "ftp://lab.example", "https://"])
def test_other_urls_say_nothing_of_where_to_serve(text: str) -> None:
    with pytest.raises(ValidationError, match="is a URL"):
        ServerConfig.model_validate({"state_dir": STATE, "rest": text})


def test_defaults_are_the_classic_ports() -> None:
    server, bankd, client = ServerConfig(state_dir=STATE), BankdConfig(state_dir=STATE), ClientConfig()
    assert (server.rspro, server.rest) == (HostPort("", 9998), None)
    assert (bankd.server, bankd.listen) == (HostPort("127.0.0.1", 9998), HostPort("", 9999))
    assert (client.server, client.client, client.atr) == (HostPort("127.0.0.1", 9998), None, b"\x3b\x00")
    assert server.keepalive == KeepAliveSettings(interval_s=30.0, timeout_s=10.0)
    assert (bankd.bank_id, bankd.slots, bankd.card_deadline_s) == (1, 8, 60.0)


def test_configuration_cannot_be_changed() -> None:
    config = ClientConfig()
    with pytest.raises(ValidationError):
        config.server = HostPort("other", 1)  # type: ignore[misc]


def test_database_is_in_the_state_directory_unless_named() -> None:
    assert ServerConfig(state_dir=STATE).database_url == "sqlite+aiosqlite:///state/server.sqlite"
    assert ServerConfig(state_dir=STATE, database="postgresql+asyncpg://x/y").database_url.startswith("postgresql")


def test_database_password_is_not_shown() -> None:
    assert "secret" not in repr(ServerConfig(state_dir=STATE, database="postgresql://u:secret@h/d"))


def test_ipv6_goes_to_the_named_classic_clients_only() -> None:
    assert not ServerConfig(state_dir=STATE).gives_ipv6_to(7)
    assert ServerConfig(state_dir=STATE, ipv6_clients=True).gives_ipv6_to(7)
    some = ServerConfig(state_dir=STATE, ipv6_clients=(7,))
    assert (some.gives_ipv6_to(7), some.gives_ipv6_to(8)) == (True, False)


def test_plaintext_networks_are_empty_when_nothing_was_allowed() -> None:
    assert ClientConfig().plaintext_networks == ()


@pytest.mark.parametrize(
    ("config", "source"),
    [
        (BankdConfig(state_dir=STATE), SlotSource.UNSPECIFIED),
        (BankdConfig(state_dir=STATE, csv=Path("x")), SlotSource.CSV),
        (BankdConfig(state_dir=STATE, auto=True), SlotSource.AUTO),
        (BankdConfig(state_dir=STATE, reader="sim"), SlotSource.SIM),
        (BankdConfig(state_dir=STATE, slot=(SlotReader(slot=0, reader="x"),)), SlotSource.TABLE),
    ],
    ids=lambda value: value.name if isinstance(value, SlotSource) else "",
)
def test_bank_knows_where_its_readers_are_named(config: BankdConfig, source: SlotSource) -> None:
    assert config.slot_source is source


@pytest.mark.parametrize(
    "settings",
    [
        {"csv": Path("x"), "auto": True},
        {"reader": "sim", "auto": True},
        {"reader": "sim", "csv": Path("x")},
        {"auto": True, "slot": ({"slot": 0, "reader": "x"},)},
        {"sim_profile": "p"},
        {"slot": ({"slot": 1, "reader": "x"}, {"slot": 1, "reader": "y"})},
        {"slot": ({"slot": 1, "reader": "x", "pattern": "y"},)},
        {"slot": ({"slot": 1},)},
        {"gsmtap_slot": 1},
        {"gsmtap": "host", "gsmtap_slot": 8},
    ],
)
def test_contradictory_bank_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BankdConfig.model_validate({"state_dir": STATE, **settings})


def test_slot_takes_exactly_the_named_reader() -> None:
    named = SlotReader(slot=0, reader="Reader 1")
    assert (named.matches("Reader 1"), named.matches("Reader 10")) == (True, False)


def test_slot_pattern_is_for_the_whole_name() -> None:
    pattern = SlotReader(slot=0, pattern=re.compile("Reader [0-9]"))
    assert (pattern.matches("Reader 1"), pattern.matches("Reader 10")) == (True, False)


def test_daemons_of_pcsc_have_sockets_and_names_of_their_own() -> None:
    one, two = PcscdSocket(socket=Path("/a")), PcscdSocket(socket=Path("/b"), name="b")
    assert BankdConfig(state_dir=STATE, pcscd=(one, two)).pcscd == (one, two)
    assert BankdConfig(state_dir=STATE, pcscd=(one,), reader="pcscd").pcscd == (one,)
    for wrong in ((one, one), (two, PcscdSocket(socket=Path("/c"), name="b"))):
        with pytest.raises(ValidationError, match="one socket or one name"):
            BankdConfig(state_dir=STATE, pcscd=wrong)
    with pytest.raises(ValidationError, match="reader pcscd only"):
        BankdConfig(state_dir=STATE, pcscd=(one,), reader="pcsc")
    with pytest.raises(ValidationError, match="no slash"):
        PcscdSocket(socket=Path("/a"), name="a/b")
    number = PcscdSocket(socket=Path("/c"), name="2")
    with pytest.raises(ValidationError, match="one socket or one name"):
        # The second is called 2 as well.
        BankdConfig(state_dir=STATE, pcscd=(number, one))
    longest = f"/{'x' * 104}ä"
    assert PcscdSocket(socket=Path(longest)).socket == Path(longest)
    with pytest.raises(ValidationError, match="at most 107 bytes"):
        PcscdSocket(socket=Path(f"{longest}x"))
