# SPDX-License-Identifier: Apache-2.0
"""The names and options of the C suite's server, bankd and clients, in front of the same programs.

Options, defaults and exit statuses are those of rspro.md, section 12; numbers are checked (the C programs take any).
Settings for which the classic names have no option come from REMSIM_... or ``--config``, and yield to the options.
"""

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from remsim import __version__
from remsim.cli.main import expand_bare_plaintext, guarded, own_words
from remsim.config import (
    BANKD_PORT,
    REST_PORT,
    RSPRO_PORT,
    BankdConfig,
    ClientConfig,
    ClientRunConfig,
    CommonConfig,
    CtlConfig,
    ServerConfig,
    load_config,
    option_name,
    variable_name,
)
from remsim.core.errors import ConfigError, RemsimError, StartError
from remsim.net.runtime.report import OtherName, other_name

#: The C bankd reads this file, and no other, from the folder in which it is started (rspro.md, section 13).
CSV_NAME: Final = "bankd_pcsc_slots.csv"
#: RSPRO: ComponentName has at most 32 characters; the C bankd takes any and peers cut them.
MAX_NAME: Final = 32


_BANKD_OPTIONS: Final = {
    "--server": "-i, -p",
    "--bank-id": "-b",
    "--slots": "-n",
    "--name": "-N",
    "--listen": "-I, -P",
    "--shared-access": "-s",
    "--gsmtap": "-g",
    "--gsmtap-slot": "-G",
    "--log-level": "-e",
}
_CLIENT_OPTIONS: Final = {
    "--server": "-i, -p",
    "--client": "-c, -n",
    "--atr": "-a",
    "--atr-ignore-rspro": "-r",
    "--event-script": "-e",
    "slot[0].client": "-c, -n",
    "slot[0].atr": "-a",
    "slot[0].atr_ignore_rspro": "-r",
    "slot[0].event_script": "-e",
}
_ST2_OPTIONS: Final = {
    f"slot[0]: settings.{key}": option
    for key, option in {
        "vendor": "-V",
        "product": "-P",
        "config": "-C",
        "interface": "-I",
        "altsetting": "-S",
        "address": "-A",
        "path": "-H",
        "presence": "-Z",
    }.items()
}
_APITOOL_OPTIONS: Final = {"--rest": "-H, -p"}
#: What names one of our options or settings in a text.
_OURS: Final = re.compile(r"(?<![\w-])(?:(?:--)?slot\[0\](?:: settings)?\.[a-z_]+|--[a-z][a-z0-9-]*)")

#: How argparse begins to complain: about words that were typed, and about options that it names as they are here.
_OF_ARGPARSE: Final = ("unrecognized arguments:", "argument ", "the following arguments are required:")


class ClassicParser(argparse.ArgumentParser):
    """Short options as getopt reads them; a mistake is a ConfigError instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, hint=f"see {self.prog} -h")

    def known_options(self) -> frozenset[str]:
        """All options, in all forms."""
        return frozenset(option for action in self._actions for option in action.option_strings)


def server(tokens: Sequence[str] | None = None) -> int:
    """``remsim-server``: listens on all addresses, as the C server does, unless REST is open."""
    parser = _parser("remsim-server", "Server of the remote SIM suite.", version_flag="-V")
    parser.add_argument("--rest-open", action="store_true", default=None, help="REST without a token")
    return _guarded("server", ServerConfig, parser, {}, lambda: _server(_parse(parser, tokens)))


def _server(given: argparse.Namespace) -> int:
    # What is open without a token is so on loopback only.
    is_open = given.rest_open or "REMSIM_REST_OPEN" in os.environ
    config = load_config(
        ServerConfig,
        options=_shared_options(given) | {"rest_open": given.rest_open},
        environ=os.environ,
        file=given.config,
        defaults={"rspro": f":{RSPRO_PORT}", "rest": f"{'127.0.0.1' if is_open else '0.0.0.0'}:{REST_PORT}"},
    )
    from remsim.server.service import serve

    return serve(config)


def bankd(tokens: Sequence[str] | None = None) -> int:
    """``remsim-bankd``: the readers of the CSV file in the current folder."""
    parser = _parser("remsim-bankd", "Bank of SIM cards of the remote SIM suite.", version_flag="-V")
    parser.add_argument("-i", "--server-host", required=True, metavar="HOST", help="server address or name")
    parser.add_argument("-p", "--server-port", default=str(RSPRO_PORT), metavar="N", help="server port")
    parser.add_argument("-b", "--bank-id", metavar="N", help="number of this bank")
    parser.add_argument("-n", "--num-slots", metavar="N", help="number of slots")
    parser.add_argument("-N", "--component-name", metavar="NAME", help="name towards the server")
    parser.add_argument("-I", "--bind-ip", default="", metavar="ADDRESS", help="listen here for clients")
    parser.add_argument("-P", "--bind-port", default=str(BANKD_PORT), metavar="N", help="listen on this port")
    parser.add_argument("-s", "--permit-shared-pcsc", action="store_true", default=None, help="open cards shared")
    parser.add_argument("-g", "--gsmtap-ip", metavar="ADDRESS", help="send GSMTAP there")
    parser.add_argument("-G", "--gsmtap-slot", metavar="N", help="GSMTAP of this slot only")
    parser.add_argument("-T", "--timestamp", action="store_true", help="accepted; log lines always have the time")
    parser.add_argument("-e", "--log-level", metavar="N", help="1 debug, 3 info, 5 notice, 7 error")
    return _guarded("bankd", BankdConfig, parser, _BANKD_OPTIONS, lambda: _bankd(_parse(parser, tokens)))


def _bankd(given: argparse.Namespace) -> int:
    options = _shared_options(given) | {
        "server": _join(given.server_host, given.server_port),
        "bank_id": given.bank_id,
        "slots": given.num_slots,
        "listen": _join(given.bind_ip, given.bind_port),
        "name": given.component_name[:MAX_NAME] if given.component_name else None,
        "shared_access": given.permit_shared_pcsc,
        "gsmtap": given.gsmtap_ip,
        # The C bankd takes -G without -g, to no effect.
        "gsmtap_slot": given.gsmtap_slot if given.gsmtap_ip is not None else None,
    }
    if given.log_level is not None:
        options["log_level"] = _level(given.log_level)
    settled = given.config is not None or any(
        f"REMSIM_{key}" in os.environ for key in ("CONFIG", "CSV", "AUTO", "READER")
    )
    config = load_config(
        BankdConfig,
        options=options,
        environ=os.environ,
        file=given.config,
        defaults={} if settled else {"csv": CSV_NAME},
    )
    if config.csv is not None and not config.csv.is_file():
        raise StartError(f"there is no {config.csv} in this folder", hint='lines are "bank","slot","reader name"')
    from remsim.bankd.service import serve

    status = serve(config)
    # The command line is right at this point: what is wrong now is the CSV file, which is status 1 here.
    return RemsimError.exit_status if status == ConfigError.exit_status else status


def client_shell(tokens: Sequence[str] | None = None) -> int:
    """``remsim-client-shell``: commands in hex, a line each."""
    parser = _client_parser("remsim-client-shell", "Shell client of the remote SIM suite.")
    return _guarded("client", ClientConfig, parser, _CLIENT_OPTIONS, lambda: _client_shell(_parse(parser, tokens)))


def _client_parser(name: str, text: str) -> ClassicParser:
    """What both classic clients take."""
    parser = _parser(name, text, version_flag="-v")
    parser.add_argument("-i", "--server-ip", default="127.0.0.1", metavar="HOST", help="server address or name")
    parser.add_argument("-p", "--server-port", default=str(RSPRO_PORT), metavar="N", help="server port")
    parser.add_argument("-c", "--client-id", default="0", metavar="N", help="client id")
    parser.add_argument("-n", "--client-slot", default="0", metavar="N", help="client slot")
    parser.add_argument("-a", "--atr", metavar="HEX", help="ATR until the bank gives one")
    parser.add_argument("-r", "--atr-ignore-rspro", action="store_true", default=None, help="keep the own ATR")
    parser.add_argument("-e", "--event-script", metavar="COMMAND", help="run this with the cause behind it on events")
    return parser


def _slot_options(given: argparse.Namespace) -> dict[str, object]:
    return {
        "client": f"{given.client_id}:{given.client_slot}",
        "atr": given.atr,
        "atr_ignore_rspro": given.atr_ignore_rspro,
        "event_script": given.event_script,
    }


def _client_shell(given: argparse.Namespace) -> int:
    options = _shared_options(given) | {"server": _join(given.server_ip, given.server_port)} | _slot_options(given)
    config = load_config(ClientConfig, options=options, environ=os.environ, file=given.config)
    from remsim.client.commands import shell

    return shell(config)


def client_st2(tokens: Sequence[str] | None = None) -> int:
    """``remsim-client-st2``: one slot on a SIMtrace2, sysmoQMOD or relative."""
    parser = _client_parser("remsim-client-st2", "SIMtrace2 client of the remote SIM suite.")
    parser.add_argument("-V", "--usb-vendor", metavar="HEX", help="USB vendor id")
    parser.add_argument("-P", "--usb-product", metavar="HEX", help="USB product id")
    parser.add_argument("-C", "--usb-config", metavar="N", help="USB configuration")
    parser.add_argument("-I", "--usb-interface", metavar="N", help="number of the interface")
    parser.add_argument("-S", "--usb-altsetting", metavar="N", help="alternate setting of the interface")
    parser.add_argument("-A", "--usb-address", metavar="N", help="address on the bus")
    parser.add_argument("-H", "--usb-path", metavar="PATH", help="where it is plugged in, such as 2-1.4")
    parser.add_argument(
        "-Z", "--set-sim-presence-polarity", choices=("0", "1"), help="level of the presence contact: card inserted"
    )
    options = _CLIENT_OPTIONS | _ST2_OPTIONS
    return _guarded("client", ClientRunConfig, parser, options, lambda: _client_st2(_parse(parser, tokens)))


def _client_st2(given: argparse.Namespace) -> int:
    settings = {
        "vendor": given.usb_vendor,
        "product": given.usb_product,
        "config": given.usb_config,
        "interface": given.usb_interface,
        "altsetting": given.usb_altsetting,
        "address": given.usb_address,
        "path": given.usb_path,
        "presence": {None: None, "0": "low", "1": "high"}[given.set_sim_presence_polarity],
    }
    # The classic client takes -1 for "any".
    chosen = {key: value for key, value in settings.items() if value not in (None, "-1")}
    slot = {key: value for key, value in _slot_options(given).items() if value is not None}
    options = _shared_options(given) | {
        "server": _join(given.server_ip, given.server_port),
        "slot": [{**slot, "emulator": "simtrace2", "settings": chosen}],
    }
    config = load_config(ClientRunConfig, options=options, environ=os.environ, file=given.config)
    from remsim.client.commands import run

    return run(config)


def apitool(tokens: Sequence[str] | None = None) -> int:
    """``remsim-apitool``: REST calls and their answers."""
    from remsim.cli import apitool as tool

    parser = tool.parser(ClassicParser)

    def work() -> int:
        given = _parse(parser, tokens)
        tool.check(given)
        return tool.run(given)

    return _guarded("apitool", CtlConfig, parser, _APITOOL_OPTIONS, work)


def _guarded(
    program: str,
    model: type[CommonConfig],
    parser: ClassicParser,
    options: Mapping[str, str],
    work: Callable[[], int],
) -> int:
    """Run ``work``; errors speak of the classic name and its options, or of the variable where it has none."""
    known = parser.known_options()
    words: dict[str, str] = {}
    for key in model.model_fields:
        ours = option_name(model, key)
        words[ours] = options.get(ours) or (ours if ours in known else variable_name((key,)))
    words |= {ours: theirs for ours, theirs in options.items() if ours not in words}
    usage = re.compile(rf"remsim {program}(?: [a-z]+)? --help")

    def translate(text: str) -> str:
        text = usage.sub(f"{parser.prog} -h", text)
        if text.startswith(_OF_ARGPARSE):
            return text
        # A setting of ours may be a part of a slot's table there, and a short option here.
        return _OURS.sub(lambda found: words.get(found[0], words.get(found[0].removeprefix("--"), found[0])), text)

    token = other_name.set(OtherName(parser.prog, translate))
    try:
        return guarded(program, work)
    finally:
        other_name.reset(token)


def _parser(name: str, text: str, *, version_flag: str) -> ClassicParser:
    parser = ClassicParser(prog=name, description=text)
    # "--disable-color" is how the option was meant; one C program has it with a leading blank.
    parser.add_argument(version_flag, "--version", action="version", version=f"{name} {__version__}")
    parser.add_argument("-d", "--debug", metavar="MASK", help="log mask: level 1 of any category shows all")
    parser.add_argument("-L", "--disable-color", action="store_true", help="accepted; colours are for terminals only")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with further settings")
    parser.add_argument("--plaintext", metavar="NET,...", help="allow RSPRO over plain TCP")
    return parser


def _parse(parser: argparse.ArgumentParser, tokens: Sequence[str] | None) -> argparse.Namespace:
    return parser.parse_args(expand_bare_plaintext(own_words() if tokens is None else tokens))


def _shared_options(given: argparse.Namespace) -> dict[str, object]:
    return {"plaintext": given.plaintext, "log_level": "debug" if _is_debug_mask(given.debug) else None}


def _is_debug_mask(mask: str | None) -> bool:
    """The C programs' mask is ``CATEGORY,LEVEL:CATEGORY,LEVEL``, and level 1 is debug."""
    return mask is not None and any(part.partition(",")[2].strip() == "1" for part in mask.split(":"))


def _level(text: str) -> str:
    """Return our level for one of the C suite: 1 debug, 3 info, 5 notice, 7 error, 8 fatal. Raises ConfigError."""
    if not text.isdecimal() or not text.isascii() or len(text) > 3:
        raise ConfigError(f"-e {text}: is not a log level", hint="1 debug, 3 info, 5 notice, 7 error")
    number = int(text)
    return "debug" if number < 3 else "info" if number < 5 else "warning" if number < 7 else "error"


def _join(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
