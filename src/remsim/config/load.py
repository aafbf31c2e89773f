# SPDX-License-Identifier: Apache-2.0
"""Resolve the settings of one program: TOML file < environment < command line, into one frozen model.

Every mistake becomes one ConfigError line that says where the value came from, which key it is, what it was and
what was expected. The merging is done here rather than by a settings library because that origin would be lost there.
The environment is an argument, so nothing here depends on the process.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from remsim.config.files import CREDENTIALS_NAME, default_state_dir, read_toml
from remsim.config.models import (
    SECRET_KEYS,
    BankdConfig,
    CommonConfig,
    ContradictionError,
    DaemonConfig,
    EmulatorSettings,
    has_tables,
    table_model,
)
from remsim.config.values import SettingText
from remsim.core.errors import ConfigError, RemsimError

C = TypeVar("C", bound=CommonConfig)
E = TypeVar("E", bound=EmulatorSettings)
#: A setting's path in the model, such as ("keepalive", "interval_s").
Key = tuple[str, ...]

ENVIRONMENT_PREFIX: Final = "REMSIM_"
_EXPECTATIONS: Final = {
    "missing": "is missing",
    "int_type": "is not a whole number",
    "float_type": "is not a number of seconds",
    "bool_type": "is neither true nor false",
    "string_type": "is not a string",
    "too_short": "is empty",
    "tuple_type": "is not a list",
    "dict_type": "is not a table",
    "model_type": "is not a table",
    "model_attributes_type": "is not a table",
    "finite_number": "is not a finite number",
}


def load_config(
    model: type[C],
    *,
    options: Mapping[str, object] | None = None,
    environ: Mapping[str, str],
    file: Path | None = None,
    defaults: Mapping[str, object] | None = None,
) -> C:
    """Merge file, environment and ``options`` (key of the model to value; None: not given) into a ``model``.

    ``file`` defaults to REMSIM_CONFIG. ``defaults`` replace those of the model and yield to everything else.
    Raises ConfigError, one line with a hint, for the first mistake.
    """
    if file is None and environ.get(ENVIRONMENT_PREFIX + "CONFIG"):
        file = Path(environ[ENVIRONMENT_PREFIX + "CONFIG"])
    sources = _Sources(model, file)
    sources.values.update(defaults or {})
    if file is not None:
        sources.add_file(read_toml(file))
    sources.add_environment(environ)
    sources.add_options(options or {})
    if "state_dir" in model.model_fields and "state_dir" not in sources.values:
        sources.values["state_dir"] = default_state_dir(state_name(model, sources.values), environ)
    is_default_place = "tls_dir" in model.model_fields and "tls_dir" not in sources.values
    if is_default_place:
        sources.values["tls_dir"] = _default_credentials(model, sources.values, environ)
    try:
        config = model.model_validate(sources.values)
    except ValidationError as error:
        raise sources.explain(error) from None
    if is_default_place and isinstance(config, DaemonConfig) and config.plaintext is not None:
        # Plain TCP was asked for, so a certificate that this host happens to have is not used. --tls names it.
        return config.model_copy(update={"tls_dir": None})
    return config


def state_name(model: type[CommonConfig], values: Mapping[str, object]) -> str:
    """Return the name of a program's state directory. Banks on one host keep apart by their number."""
    return f"bank-{values.get('bank_id', 1)}" if issubclass(model, BankdConfig) else model.program


def _default_credentials(
    model: type[CommonConfig], values: Mapping[str, object], environ: Mapping[str, str]
) -> Path | None:
    """A program without a state directory keeps its certificate where that would be."""
    if "state_dir" in model.model_fields:
        return None
    try:
        return default_state_dir(state_name(model, values), environ) / CREDENTIALS_NAME
    except ConfigError:
        return None


def parse_settings(model: type[E], values: Mapping[str, object], *, where: str) -> E:
    """Turn the settings of one emulator into a ``model``. ``where`` names their place in messages.

    Raises ConfigError for the first mistake.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as failure:
        error = min(failure.errors(include_url=False), key=lambda candidate: candidate["type"] != "extra_forbidden")
        key = tuple(str(part) for part in error["loc"])
        place = ".".join((where, *key))
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, ContradictionError):
            raise ConfigError(f"{where}: {cause}", hint=cause.hint) from None
        if error["type"] == "extra_forbidden":
            raise ConfigError(f"{place}: unknown key", hint=_key_hint(model, key)) from None
        hint = cause.hint if isinstance(cause, RemsimError) else ""
        raise ConfigError(_sentence(place, key, error), hint=hint) from None


def option_name(model: type[CommonConfig], key: str) -> str:
    """Return the command-line option that sets ``key``."""
    return model.option_names.get(key, "--" + key.replace("_", "-"))


def variable_name(key: Key) -> str:
    """Return the environment variable that sets ``key``, if it is one of ``scalar_keys``."""
    return ENVIRONMENT_PREFIX + "_".join(key).upper()


class _Sources:
    """The merged values and, for each, the words that tell a person where it was set."""

    def __init__(self, model: type[CommonConfig], file: Path | None) -> None:
        self.values: dict[str, object] = {}
        self._model = model
        self._file = file
        self._origins: dict[Key, str] = {}

    def add_file(self, values: Mapping[str, object]) -> None:
        for key, value in values.items():
            origin = f"{self._file}: {_named(key)}"
            self._set((key,), value, origin)
            if isinstance(value, dict):
                self._origins.update({(key, str(inner)): f"{origin}.{_named(str(inner))}" for inner in value})

    def add_environment(self, environ: Mapping[str, str]) -> None:
        for key in scalar_keys(self._model):
            variable = variable_name(key)
            if environ.get(variable):
                self._set(key, SettingText(environ[variable]), variable)

    def add_options(self, options: Mapping[str, object]) -> None:
        for key, value in options.items():
            if value is None or (isinstance(value, Sequence) and not isinstance(value, str) and not value):
                continue
            self._set((key,), SettingText(value) if isinstance(value, str) else value, option_name(self._model, key))

    def _set(self, key: Key, value: object, origin: str) -> None:
        table = self.values
        for part in key[:-1]:
            inner = table.get(part)
            inner = dict(inner) if isinstance(inner, dict) else {}
            table[part] = inner
            table = inner
        table[key[-1]] = value
        self._origins = {known: words for known, words in self._origins.items() if known[: len(key)] != key}
        self._origins[key] = origin

    def _origin(self, key: Key) -> str:
        """Where ``key`` was set: the most exact origin known, and the rest of the path inside that value."""
        for length in range(len(key), 0, -1):
            if key[:length] in self._origins:
                rest = "".join(f"[{part}]" if part.isdecimal() else f".{_named(part)}" for part in key[length:])
                return self._origins[key[:length]] + rest
        return ".".join(key)

    def explain(self, failure: ValidationError) -> ConfigError:
        """Return the first mistake as one line; the others follow when it is mended.

        An unknown key goes first: it is often the misspelt name of one that is reported as missing.
        """
        errors = failure.errors(include_url=False)
        error = min(errors, key=lambda candidate: candidate["type"] != "extra_forbidden")
        key = tuple(str(part) for part in error["loc"] if part != "[key]")
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, ContradictionError):
            origins = " and ".join(self._origin((name,)) for name in cause.keys)
            return ConfigError(f"{origins}: {cause}", hint=cause.hint)
        if error["type"] == "extra_forbidden":
            return ConfigError(f"{self._origin(key)}: unknown key", hint=_key_hint(self._model, key))
        hint = cause.hint if isinstance(cause, RemsimError) else ""
        return ConfigError(
            _sentence(self._origin(key), key, error), hint=hint or f"see remsim {self._model.program} --help"
        )


def _named(key: str) -> str:
    """A key as it may stand in one line."""
    return key if key.isprintable() else repr(key)


def _key_hint(model: type[BaseModel], key: Key) -> str:
    place = model
    for part in key[:-1]:
        place = table_model(place, part) or place
    close = difflib.get_close_matches(key[-1], place.model_fields, n=1)
    return f"did you mean {close[0]}?" if close else f"known keys: {', '.join(sorted(place.model_fields))}"


def scalar_keys(model: type[BaseModel]) -> list[Key]:
    """All keys that one line of text can set: every field, and the fields of fixed tables; no lists of tables."""
    keys: list[Key] = []
    for name, field in model.model_fields.items():
        table = table_model(model, name)
        is_fixed = field.annotation is table
        if table is not None and is_fixed:
            keys.extend((name, inner) for inner in table.model_fields)
        elif not has_tables(model, name):
            keys.append((name,))
    return keys


def _sentence(where: str, key: Key, error: ErrorDetails) -> str:
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "value_error":
        reason = str(context["error"])
        # Our own texts of parsers name the value; those that begin with a verb leave it to us.
        if not reason.startswith(("is ", "must ")):
            return f"{where}: {reason}"
    elif kind == "literal_error":
        reason = f"is not one of {context['expected']}"
    elif kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        bounds = {"greater_than": "above", "greater_than_equal": "at least", "less_than": "below"}
        limit = next(iter(context.values()))
        reason = f"must be {bounds.get(kind, 'at most')} {limit}"
    else:
        reason = _EXPECTATIONS.get(kind, error["msg"])
    if kind == "missing":
        return f"{where}: {reason}"
    shown = "the value" if SECRET_KEYS & set(key) else _shorten(value)
    return f"{where}: {shown} {reason}"


def _shorten(value: object) -> str:
    text = repr(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
