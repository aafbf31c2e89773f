# SPDX-License-Identifier: Apache-2.0
"""The text of docs/settings.md: every setting of every program, from the configuration models and the command line.

What an option means is taken from its help, and what has no option from the comment beside the setting.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, get_origin

from cyclopts import App
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from remsim.cli import bankd, client, ctl, server, uicc
from remsim.config import (
    BankdConfig,
    ClientConfig,
    ClientRunConfig,
    ClientVpcdConfig,
    CommonConfig,
    CtlConfig,
    ServerConfig,
    UiccConfig,
    models,
    simtrace2,
)
from remsim.config import client as client_models
from remsim.config.load import option_name, scalar_keys, variable_name
from remsim.config.models import DaemonConfig, table_model
from remsim.config.simtrace2 import SimtraceSettings

_INTRO: Final = """\
<!-- Generated from the programs by tools/generate_docs.py; do not edit. -->
# Settings

Every setting of every program. A setting is given on the command line, else in the environment, else in a TOML file,
else it has its default. The file is named by `--config FILE.toml` or `REMSIM_CONFIG`; no file is read unasked. An
unknown key, a value of the wrong type and settings that exclude each other are errors; one line names the problem and
its place.

- An address is `HOST:PORT`, `[IPV6]:PORT`, or `HOST` with the usual port. For listening, `:PORT` and `*:PORT` are all
  addresses of IPv4 and IPv6, and port 0 is any free port.
- Switches are `true` or `false`. As an option they have no value; in the environment `1`, `yes`, `on` and `0`, `no`,
  `off` will do, too.
- Lists are TOML lists. In the environment items are separated by commas; as an option the word is repeated.
- Bank ids, client ids and slot numbers are 0 to 1023. Durations are seconds, up to a day.
- In TOML, `keepalive.interval_s` is `interval_s` in the table `[keepalive]`, `banks.N.advertise` is `advertise` in
  `[banks.1]`, `slot[].reader` is `reader` in one of any number of tables
  `[[slot]]`, and `slot[].atr_rules.strip` is `strip` in `[slot.atr_rules]` below it.
"""

_STATE: Final = (
    "systemd's `$STATE_DIRECTORY`, else `remsim/{name}` in `$XDG_STATE_HOME`, else in `~/.local/state`; "
    "it is made if it is not there"
)

_SIMTRACE2: Final = (
    'The `settings` of a slot with `emulator = "simtrace2"`, see [hardware.md](manual/hardware.md). What is not given '
    "fits any device.\n"
)

_HEAD: Final = "| TOML | environment | option | default | meaning |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class _Program:
    """A verb with settings of its own."""

    title: str
    text: str
    model: type[CommonConfig]
    app: App
    #: Its settings are told elsewhere.
    base: type[CommonConfig] = DaemonConfig


_PROGRAMS: Final = (
    _Program("remsim server", "", ServerConfig, server.app),
    _Program("remsim bankd", "", BankdConfig, bankd.app),
    _Program("remsim client", "For `shell`, `script` and `vpcd` alike.", ClientConfig, client.app["shell"]),
    _Program(
        "remsim client vpcd",
        'Besides those of `remsim client`. The same keys are the `settings` of a slot with `emulator = "vpcd"`.',
        ClientVpcdConfig,
        client.app["vpcd"],
        base=ClientConfig,
    ),
    _Program("remsim client run", "", ClientRunConfig, client.app["run"]),
    _Program("remsim ctl", "", CtlConfig, ctl.app, base=CommonConfig),
    _Program("remsim uicc", "", UiccConfig, uicc.app),
)


def settings_page() -> str:
    """The whole page."""
    return _page()


@cache
def _page() -> str:
    parts = [_INTRO, "## All programs\n", _table(_rows(_PROGRAMS[0], CommonConfig, without=None))]
    daemons = "`remsim server`, `remsim bankd` and `remsim client` also have these.\n"
    parts += ["\n## Server, bankd and client\n", daemons, _table(_rows(_PROGRAMS[0], DaemonConfig, CommonConfig))]
    for program in _PROGRAMS:
        parts += [f"\n## {program.title}\n", *([program.text + "\n"] if program.text else [])]
        parts.append(_table(_rows(program, program.model, program.base)))
        if extra := list(_options_without_setting(program)):
            parts += ["\nOptions that are no settings:\n", "| option | meaning |\n|---|---|", "\n".join(extra)]
    parts += ["\n## Slots with simtrace2\n", _SIMTRACE2, _HEAD]
    for name, field in SimtraceSettings.model_fields.items():
        parts.append(_row(name, "", "", _value(field.default), _comment(SimtraceSettings, name)))
    return "\n".join(parts) + "\n"


def _table(rows: Iterator[str]) -> str:
    return "\n".join([_HEAD, *rows])


def _rows(program: _Program, model: type[CommonConfig], without: type[CommonConfig] | None) -> Iterator[str]:
    known = set() if without is None else set(without.model_fields)
    if without is None:
        yield _row("", "REMSIM_CONFIG", "--config", "", "TOML file with settings; options override it.")
    for name, field in model.model_fields.items():
        if name in known:
            continue
        table = table_model(model, name)
        if table is None:
            option = option_name(program.model, name)
            text = _helps(program.app).get(option)
            default = _default(program.model, name, field.default)
            meaning = _without_default(text) if text else _comment(program.model, name)
            yield _row(name, variable_name((name,)), option if text else "", default, meaning)
            continue
        is_fixed = any(key[0] == name for key in scalar_keys(program.model))
        is_keyed = get_origin(field.annotation) is dict
        pattern = f"{name}.{{}}" if is_fixed else f"{name}.N.{{}}" if is_keyed else f"{name}[].{{}}"
        for inner, inner_field in table.model_fields.items():
            if deeper := table_model(table, inner):
                yield from _table_rows(deeper, pattern.format(f"{inner}.{{}}"))
                continue
            variable = variable_name((name, inner)) if is_fixed else ""
            default = "" if inner_field.is_required() else _value(inner_field.default)
            yield _row(pattern.format(inner), variable, "", default, _comment(table, inner))


def _table_rows(table: type[BaseModel], pattern: str) -> Iterator[str]:
    """The rows of a table within a table, which only a file can hold."""
    for name, field in table.model_fields.items():
        yield _row(pattern.format(name), "", "", _value(field.default), _comment(table, name))


def _options_without_setting(program: _Program) -> Iterator[str]:
    known = {option_name(program.model, name) for name in program.model.model_fields} | {"--config"}
    for option, text in _all_helps(program).items():
        if option not in known:
            yield f"| `{option}` | {text} |"


def _all_helps(program: _Program) -> dict[str, str]:
    """With the options of the one client verb that has some of its own."""
    helps = _helps(program.app)
    if program.model is ClientConfig:
        more = _helps(client.app["script"])
        helps |= {option: f"`script` only: {text}" for option, text in more.items() if option not in helps}
    return helps


def _helps(app: App) -> dict[str, str]:
    arguments = app.assemble_argument_collection(parse_docstring=True)
    return {
        argument.name: argument.parameter.help
        for argument in arguments
        if argument.name.startswith("--") and argument.parameter.help
    }


def _without_default(text: str) -> str:
    return re.sub(r" \(default: [^)]*\)", "", text)


def _default(model: type[CommonConfig], name: str, value: object) -> str:
    if name == "state_dir":
        return _STATE.format(name="bank-N" if model is BankdConfig else model.program)
    return _value(value)


def _value(value: object) -> str:
    """A default as one would write it; empty if there is none."""
    match value:
        case None | () | "":
            return ""
        case _ if value is PydanticUndefined:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case bytes():
            return f"`{value.hex()}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def _comment(model: type[BaseModel], name: str) -> str:
    """The comment beside a field, from the class that declares it."""
    for base in model.__mro__:
        if text := _comments().get((base.__name__, name)):
            return text
    raise LookupError(f"{model.__name__}.{name} has neither an option's help nor a comment that says what it means")


@cache
def _comments() -> dict[tuple[str, str], str]:
    sources = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in (models, client_models, simtrace2)]
    return {key: text for source in sources for key, text in _comments_in(source)}


def _comments_in(source: str) -> Iterator[tuple[tuple[str, str], str]]:
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field in node.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                words: list[str] = []
                number = field.lineno - 2
                while lines[number].strip().startswith("#:"):
                    words.insert(0, lines[number].strip().removeprefix("#:").strip())
                    number -= 1
                yield (node.name, field.target.id), " ".join(words).replace("``", "`")


def _row(toml: str, variable: str, option: str, default: str, meaning: str) -> str:
    cells = [f"`{cell}`" if cell else "–" for cell in (toml, variable, option)]
    return "| " + " | ".join([*cells, default or "–", meaning.replace("|", "\\|")]) + " |"
