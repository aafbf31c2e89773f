# SPDX-License-Identifier: Apache-2.0
"""``remsim-apitool``: the C suite's REST tool (rsres.md, section 6), its options and its output.

An answer is printed as path, colon, and the JSON in Python notation, so that old scripts read it; ``--json`` prints
JSON. Other than the C suite's, a failure has an exit status: 1, with the server's reason.
"""

import argparse
import json
import os
from typing import TypeVar

from remsim import __version__
from remsim.cli.rest import API_PREFIX, RestClient, mapping_object, open_rest, slotmap_id
from remsim.config import REST_PORT, CtlConfig, load_config
from remsim.core.errors import ConfigError
from remsim.core.ids import BankSlot, ClientSlot

P = TypeVar("P", bound=argparse.ArgumentParser)

#: What -c, -b and -s without an ID stand for: the whole list.
_ALL = ""
_SHOWN = ("clients", "banks", "slotmaps")


def parser(kind: type[P]) -> P:
    """Return a parser of class ``kind`` for the classic options."""
    result = kind(prog="remsim-apitool", description="REST calls to a remote SIM server.")
    result.add_argument("-H", "--host", help="server (default: this host), or http://HOST, https://HOST")
    result.add_argument("-p", "--port", help=f"port (default: {REST_PORT})")
    result.add_argument("--authority", metavar="FILE", help="use https, with a server of this authority (PEM) only")
    result.add_argument("-v", "--verbose", action="store_true", help="print each call first")
    result.add_argument("-V", "--version", action="version", version=f"remsim-apitool {__version__}")
    result.add_argument("--json", action="store_true", help="print JSON")
    # These three may stand together; everything else excludes each other and these.
    for short, name, what in (("-c", "clients", "clients"), ("-b", "banks", "banks"), ("-s", "slotmaps", "mappings")):
        result.add_argument(
            short, f"--show-{name}", f"--{name}", dest=name, nargs="?", const=_ALL, metavar="ID", help=f"show {what}"
        )
    action = result.add_mutually_exclusive_group()
    action.add_argument("-a", "--show-all", action="store_true", help="show all three (default)")
    action.add_argument(
        "-m",
        "--create-slotmap",
        nargs=4,
        type=int,
        metavar=("BANK", "SLOT", "CLIENT", "CSLOT"),
        help="create a mapping",
    )
    action.add_argument("-d", "--delete-slotmap", nargs=2, type=int, metavar=("BANK", "SLOT"), help="delete a mapping")
    action.add_argument("-r", "--reset", action="store_true", help="delete all mappings")
    return result


def check(given: argparse.Namespace) -> None:
    """Refuse to show some and do something else. Raises ConfigError."""
    shown = next((f"--show-{name}" for name in _SHOWN if getattr(given, name) is not None), "")
    others = {
        "--show-all": given.show_all,
        "--create-slotmap": given.create_slotmap is not None,
        "--delete-slotmap": given.delete_slotmap is not None,
        "--reset": given.reset,
    }
    other = next((name for name, is_given in others.items() if is_given), "")
    if shown and other:
        raise ConfigError(f"{other} is not allowed with {shown}", hint="see remsim-apitool -h")


def run(given: argparse.Namespace) -> int:
    """Do what the options say; return the exit status. Raises RestError and ConfigError."""
    options = {"rest": _server(given.host, given.port), "authority": given.authority}
    config = load_config(CtlConfig, options=options, environ=os.environ)
    with open_rest(config, os.environ, program="apitool") as rest:
        tool = _Tool(rest, is_verbose=given.verbose, is_json=given.json)
        if given.create_slotmap is not None:
            bank, slot, client, client_slot = given.create_slotmap
            tool.create(BankSlot(bank, slot), ClientSlot(client, client_slot))
        elif given.delete_slotmap is not None:
            tool.delete(BankSlot(*given.delete_slotmap))
        elif given.reset:
            tool.reset()
        else:
            tool.show_all(given)
    return 0


def _server(host: str | None, port: str | None) -> str | None:
    """What the two options name; None: nothing."""
    if host is None and port is None:
        return None
    scheme, mark, name = (host or "127.0.0.1").rpartition("://")
    return f"{scheme}{mark}{f'[{name}]' if ':' in name else name}:{port or REST_PORT}"


class _Tool:
    """One run: where to ask and how to print."""

    def __init__(self, rest: RestClient, *, is_verbose: bool, is_json: bool) -> None:
        self._rest = rest
        self._is_verbose = is_verbose
        self._is_json = is_json

    def show_all(self, given: argparse.Namespace) -> None:
        asked = [(name, getattr(given, name)) for name in _SHOWN]
        chosen = [(name, which) for name, which in asked if which is not None]
        for name, which in chosen or [(name, _ALL) for name, _ in asked]:
            self._show(f"/{name}" if which == _ALL else f"/{name}/{which}")

    def create(self, bank_slot: BankSlot, client_slot: ClientSlot) -> None:
        body = json.dumps(mapping_object(bank_slot, client_slot)) if self._is_verbose else ""
        self._say("POST", f"/slotmaps {body}")
        self._rest.create_mapping(bank_slot, client_slot)

    def delete(self, bank_slot: BankSlot) -> None:
        self._say("DELETE", f"/slotmaps/{slotmap_id(bank_slot)}")
        self._rest.delete_mapping(bank_slot)

    def reset(self) -> None:
        self._say("POST", "/global-reset")
        self._rest.global_reset()

    def _show(self, path: str) -> None:
        self._say("GET", path)
        value = self._rest.get(path)
        if value is not None:
            print(json.dumps(value) if self._is_json else f"{path}: {value}")

    def _say(self, method: str, path: str) -> None:
        if self._is_verbose:
            print(f"{method} {self._rest.base}{API_PREFIX}{path}")
