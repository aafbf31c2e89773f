# SPDX-License-Identifier: Apache-2.0
"""The merging of file, environment and command line, and what a person is told about a mistake.

The file's text is handed in, so that nothing here touches the disk.
"""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from remsim.config import (
    LOOPBACK_NETWORKS,
    BankdConfig,
    ClientConfig,
    CommonConfig,
    CtlConfig,
    HostPort,
    ServerConfig,
    default_state_dir,
    load,
    load_config,
    option_name,
)
from remsim.config.load import state_name
from remsim.core.errors import ConfigError
from remsim.core.ids import ClientSlot

HOME = {"HOME": "/somewhere"}
FILE = Path("remsim.toml")

Given = Callable[[str], Path]


@pytest.fixture
def given_file(monkeypatch: pytest.MonkeyPatch) -> Given:
    """``given_file(text)`` makes ``text`` the content of the returned path."""

    def give(text: str) -> Path:
        monkeypatch.setattr(load, "read_toml", lambda _file: tomllib.loads(text))
        return FILE

    return give


def test_command_line_wins_over_environment_over_file_over_defaults(given_file: Given) -> None:
    file = given_file('bank_id = 1\nslots = 1\nname = "file"\nserver = "file:1"\n')
    config = load_config(
        BankdConfig,
        options={"bank_id": "3", "slots": None, "name": None},
        environ={**HOME, "REMSIM_BANK_ID": "2", "REMSIM_SLOTS": "2", "REMSIM_NAME": ""},
        file=file,
        defaults={"server": "default:1", "card_deadline_s": 5.0},
    )
    assert (config.bank_id, config.slots, config.name) == (3, 2, "file")
    assert (config.server, config.card_deadline_s) == (HostPort("file", 1), 5.0)


def test_environment_reaches_into_tables_and_keeps_their_other_keys(given_file: Given) -> None:
    file = given_file("[keepalive]\ninterval_s = 1\ntimeout_s = 2\n")
    config = load_config(ClientConfig, environ={"REMSIM_KEEPALIVE_INTERVAL_S": "7.5"}, file=file)
    assert (config.keepalive.interval_s, config.keepalive.timeout_s) == (7.5, 2.0)


def test_table_of_the_wrong_type_gives_way_to_the_environment(given_file: Given) -> None:
    config = load_config(ClientConfig, environ={"REMSIM_KEEPALIVE_INTERVAL_S": "7.5"}, file=given_file("keepalive = 3"))
    assert config.keepalive.interval_s == 7.5


def test_file_may_be_named_by_the_environment(given_file: Given) -> None:
    given_file('client = "7:1"')
    assert load_config(ClientConfig, environ={"REMSIM_CONFIG": "x.toml"}).client == ClientSlot(7, 1)


def test_server_settings_of_every_kind_are_read(given_file: Given) -> None:
    file = given_file(
        """
        rspro = "[::1]:1"
        rest = ":2"
        state_dir = "here"
        metrics = "127.0.0.1:3"
        plaintext = ["10.0.0.0/8"]
        dial_bank = ["a", "b:5"]
        client_id_pool = [5, "900-901"]
        ipv6_clients = [7]
        rest_open = true
        log_format = "json"
        [banks.3]
        advertise = "192.0.2.1"
        """
    )
    config = load_config(ServerConfig, environ={}, file=file)
    assert (config.rspro, config.rest, config.state_dir) == (HostPort("::1", 1), HostPort("", 2), Path("here"))
    assert config.metrics == HostPort("127.0.0.1", 3)
    assert [str(network) for network in config.plaintext_networks] == ["10.0.0.0/8"]
    assert config.dial_bank == (HostPort("a", 9999), HostPort("b", 5))
    assert config.client_id_pool == (5, 900, 901)
    assert config.ipv6_clients == (7,)
    assert (config.rest_open, config.log_format) == (True, "json")
    assert config.banks[3].advertise == HostPort("192.0.2.1", 9999)


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("true", LOOPBACK_NETWORKS),
        ("1", LOOPBACK_NETWORKS),
        ("0", ()),
        ("false", ()),
        ("::1/128", LOOPBACK_NETWORKS[1:]),
    ],
)
def test_plaintext_is_a_switch_or_networks(text: str, networks: tuple[object, ...]) -> None:
    assert load_config(ClientConfig, environ={}, options={"plaintext": text}).plaintext_networks == networks


@pytest.mark.parametrize("plaintext", [None, "0", "1", "10.0.0.0/8"])
@pytest.mark.parametrize("tls", [None, "/certificates"])
def test_plaintext_passes_over_a_certificate_in_the_default_place(plaintext: str | None, tls: str | None) -> None:
    options = {"plaintext": plaintext, "tls_dir": tls}
    is_plain = plaintext in ("1", "10.0.0.0/8") and tls is None
    client = load_config(ClientConfig, environ=HOME, options=options)
    bank = load_config(BankdConfig, environ=HOME, options=options)
    assert (client.credentials_dir is None) == (bank.credentials_dir is None) == is_plain
    # Both kinds side by side: then it needs its certificate.
    both = load_config(BankdConfig, environ=HOME, options=options | {"listen_plaintext": "127.0.0.1:9899"})
    server = load_config(ServerConfig, environ=HOME, options=options)
    assert both.credentials_dir is not None
    assert server.credentials_dir is not None


def test_plaintext_switch_in_a_file(given_file: Given) -> None:
    assert load_config(ClientConfig, environ={}, file=given_file("plaintext = true")).plaintext == LOOPBACK_NETWORKS
    assert load_config(ClientConfig, environ={}, file=given_file("plaintext = false")).plaintext is None


@pytest.mark.parametrize(("text", "expected"), [("yes", True), ("off", False), ("7,9", (7, 9))])
def test_ids_or_switch_from_text(text: str, expected: object) -> None:
    assert load_config(ServerConfig, environ={**HOME, "REMSIM_IPV6_CLIENTS": text}).ipv6_clients == expected


def test_advertised_address_without_port_stands_for_the_listening_port() -> None:
    config = load_config(BankdConfig, environ=HOME, options={"advertise": ("192.0.2.1", "[::2]:5")})
    assert config.advertise == (HostPort("192.0.2.1", 0), HostPort("::2", 5))


def test_token_comes_from_the_environment() -> None:
    config = load_config(CtlConfig, environ={"REMSIM_TOKEN": "secret"})
    assert config.token == "secret"
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("model", "toml", "options", "message"),
    [
        (BankdConfig, "bank_idd = 1", {}, "remsim.toml: bank_idd: unknown key"),
        (BankdConfig, "keepalive.interval = 1", {}, "remsim.toml: keepalive.interval: unknown key"),
        (BankdConfig, "slot = [{slot = 1, reader = 'x', foo = 1}]", {}, "remsim.toml: slot[0].foo: unknown key"),
        (BankdConfig, "bank_id = '1'", {}, "remsim.toml: bank_id: '1' is not a whole number"),
        (BankdConfig, "bank_id = true", {}, "remsim.toml: bank_id: True is not a whole number"),
        (BankdConfig, "bank_id = 1.0", {}, "remsim.toml: bank_id: 1.0 is not a whole number"),
        (BankdConfig, "bank_id = 1024", {}, "remsim.toml: bank_id: 1024 is outside 0..1023"),
        (BankdConfig, "slots = 0", {}, "remsim.toml: slots: 0 is outside 1..1023"),
        (BankdConfig, "auto = 1", {}, "remsim.toml: auto: 1 is neither true nor false"),
        (BankdConfig, "csv = 3", {}, "remsim.toml: csv: 3 must be a string"),
        (BankdConfig, "csv = ''", {}, "remsim.toml: csv: '' is no file name"),
        (BankdConfig, "reader = ''", {}, "remsim.toml: reader: '' is empty"),
        (BankdConfig, "reader = 1", {}, "remsim.toml: reader: 1 is not a string"),
        (BankdConfig, "server = 'h:99999'", {}, "remsim.toml: server: '99999' in 'h:99999' is no port number"),
        (BankdConfig, "server = ':1'", {}, "remsim.toml: server: ':1' is not the address of a single host"),
        (
            BankdConfig,
            "advertise = ['0.0.0.0:1']",
            {},
            "remsim.toml: advertise[0]: '0.0.0.0:1' is not the address of a single host",
        ),
        (BankdConfig, "advertise = 3", {}, "remsim.toml: advertise: 3 is not a list"),
        (BankdConfig, "keepalive = 3", {}, "remsim.toml: keepalive: 3 is not a table"),
        (BankdConfig, "keepalive.interval_s = 0", {}, "remsim.toml: keepalive.interval_s: 0 must be above 0"),
        (
            BankdConfig,
            "keepalive.interval_s = 1e9",
            {},
            "remsim.toml: keepalive.interval_s: 1000000000.0 must be at most",
        ),
        (BankdConfig, "keepalive.interval_s = inf", {}, "remsim.toml: keepalive.interval_s: inf"),
        (BankdConfig, "keepalive.interval_s = 'x'", {}, "remsim.toml: keepalive.interval_s: 'x' is not a number"),
        (BankdConfig, "[[slot]]\nslot = 0\npattern = '('", {}, "remsim.toml: slot[0].pattern: '(' is no regular"),
        (BankdConfig, '"a\\nb" = 1', {}, "remsim.toml: 'a\\nb': unknown key"),
        (BankdConfig, '[keepalive]\n"a\\nb" = 1', {}, "remsim.toml: keepalive.'a\\nb': unknown key"),
        (BankdConfig, '[[slot]]\n"a\\nb" = 1', {}, "remsim.toml: slot[0].'a\\nb': unknown key"),
        (BankdConfig, f"[[slot]]\nslot = 0\npattern = 'a{{{'9' * 30}}}'", {}, "remsim.toml: slot[0].pattern: 'a{9"),
        (
            BankdConfig,
            f"[[slot]]\nslot = 0\npattern = '{'(' * 2000}{')' * 2000}'",
            {},
            "remsim.toml: slot[0].pattern: '((",
        ),
        (BankdConfig, "[[slot]]\nreader = 'x'", {}, "remsim.toml: slot[0].slot: is missing"),
        (BankdConfig, "[[slot]]\nslot = 0", {}, "remsim.toml: slot[0]: slot 0 needs either"),
        (BankdConfig, "auto = true", {"csv": "x"}, "--csv and remsim.toml: auto: only one"),
        (BankdConfig, "", {"reader": "sim", "auto": True}, "--auto and --reader: only one"),
        (BankdConfig, "", {"bank_id": "5000"}, "--bank-id: '5000' is outside 0..1023"),
        (BankdConfig, "", {"bank_id": "1_0"}, "--bank-id: '1_0' is not a whole number"),
        (BankdConfig, "", {"card_deadline_s": "soon"}, "--card-deadline-s: 'soon' is not a number of seconds"),
        (BankdConfig, "", {"name": "é"}, "--name: 'é' is no component name"),
        (ServerConfig, "", {"state_dir": "\0"}, "--state: '\\x00' is no file name"),
        (ServerConfig, "banks.x.advertise = 'a'", {}, "remsim.toml: banks.x: [banks.x]: 'x' is no bank id"),
        (ServerConfig, "banks.2000.advertise = 'a'", {}, "remsim.toml: banks.2000: bank id 2000 is outside"),
        (ServerConfig, "banks.1.advert = 'a'", {}, "remsim.toml: banks.1.advert: unknown key"),
        (BankdConfig, "overrides.x.ahead = 'on'", {}, "remsim.toml: overrides.x: [overrides.x]: 'x' is no slot number"),
        (
            BankdConfig,
            "overrides.1.ahead = 'so'",
            {},
            "remsim.toml: overrides.1.ahead: 'so' is not one of",
        ),
        (BankdConfig, "overrides.1.shared = true", {}, "remsim.toml: overrides.1.shared: unknown key"),
        (
            BankdConfig,
            "slots = 2\noverrides.2.ahead = 'on'",
            {},
            "remsim.toml: overrides and remsim.toml: slots: slot 2 does not exist",
        ),
        (ServerConfig, "client_id_pool = true", {}, "remsim.toml: client_id_pool: True must be"),
        (ServerConfig, "client_id_pool = [true]", {}, "remsim.toml: client_id_pool: [True] must be"),
        (ServerConfig, "plaintext = 3", {}, "remsim.toml: plaintext: 3 must be"),
        (ServerConfig, "plaintext = [3]", {}, "remsim.toml: plaintext: [3] must be"),
        (ServerConfig, "database = 12345", {}, "remsim.toml: database: the value is not a string"),
        (ClientConfig, "", {"client": "7"}, "--client: '7' is no client slot"),
        (ClientConfig, "", {"atr": "3b"}, "--atr: an ATR has 2..55 bytes"),
        (ClientConfig, "", {"log_level": "loud"}, "--log-level: 'loud' is not one of"),
        (ClientConfig, "", {"atr_ignore_rspro": "perhaps"}, "--atr-ignore-rspro: 'perhaps' is neither"),
    ],
)
def test_mistake_is_told_with_origin_value_and_expectation(
    given_file: Given, model: type[CommonConfig], toml: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(model, options=options, environ=HOME, file=given_file(toml))
    assert str(caught.value).startswith(message)
    assert caught.value.hint
    assert caught.value.exit_status == 2


def test_mistake_in_the_environment_names_the_variable() -> None:
    with pytest.raises(ConfigError, match=r"^REMSIM_KEEPALIVE_TIMEOUT_S: 'x' is not a number"):
        load_config(ClientConfig, environ={"REMSIM_KEEPALIVE_TIMEOUT_S": "x"})


def test_mistake_in_a_default_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"^csv and --auto: only one"):
        load_config(BankdConfig, environ=HOME, options={"auto": True}, defaults={"csv": "x"})


def test_misspelt_key_is_guessed(given_file: Given) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(ServerConfig, environ=HOME, file=given_file("banks.1.advertize = 'a'"))
    assert caught.value.hint == "did you mean advertise?"


def test_long_value_is_cut_in_the_message(given_file: Given) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(BankdConfig, environ=HOME, file=given_file(f"bank_id = '{'9' * 1000}'"))
    assert len(str(caught.value)) < 130


@pytest.mark.parametrize(
    ("model", "environ", "expected"),
    [
        (ServerConfig, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/h"}, "/var/lib/a"),
        (ServerConfig, {"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/remsim/server"),
        (ServerConfig, {"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/remsim/server"),
        (BankdConfig, {"HOME": "/h"}, "/h/.local/state/remsim/bank-7"),
    ],
)
def test_state_has_a_place_of_its_own(model: type[CommonConfig], environ: dict[str, str], expected: str) -> None:
    assert default_state_dir(state_name(model, {"bank_id": 7}), environ) == Path(expected)


def test_state_without_any_home_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="home directory"):
        load_config(ServerConfig, environ={})


def test_option_names_are_those_of_the_command_line() -> None:
    assert option_name(ServerConfig, "state_dir") == "--state"
    assert option_name(BankdConfig, "bank_id") == "--bank-id"
