# SPDX-License-Identifier: Apache-2.0
"""Settings: one frozen object per program, resolved once, with TOML file < environment < command line.

``values`` has the value types, ``models`` and ``client`` the settings with their defaults and rules, ``load`` the
merging, ``files`` what lies where. Nothing here knows a socket, a clock or the process's own environment. Importing
pydantic takes a tenth of a second, so the settings are loaded when first used.
"""

import importlib
from typing import TYPE_CHECKING, Final

from remsim.config.files import (
    AUTHORITY_NAME,
    CREDENTIALS_NAME,
    TextError,
    decode_text,
    default_state_dir,
    read_text,
    read_toml,
)
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
    parse_hex,
)

if TYPE_CHECKING:
    from remsim.config.client import (
        AtrRules,
        ClientConfig,
        ClientRunConfig,
        ClientSlotConfig,
        ClientVpcdConfig,
        VpcdSettings,
    )
    from remsim.config.load import load_config, option_name, parse_settings, variable_name
    from remsim.config.models import (
        BankdConfig,
        BankOverride,
        CommonConfig,
        CtlConfig,
        DaemonConfig,
        DemoConfig,
        EmulatorSettings,
        KeepAliveSettings,
        Limits,
        LogFormat,
        LogLevel,
        PcscdSocket,
        ServerConfig,
        SlotOverride,
        SlotReader,
        SlotSource,
        Timers,
        UiccConfig,
    )

__all__ = [
    "AUTHORITY_NAME",
    "BANKD_PORT",
    "CREDENTIALS_NAME",
    "GSMTAP_PORT",
    "LOOPBACK_NETWORKS",
    "METRICS_PORT",
    "REST_PORT",
    "RSPRO_PORT",
    "VPCD_PORT",
    "AtrRules",
    "BankOverride",
    "BankdConfig",
    "ClientConfig",
    "ClientRunConfig",
    "ClientSlotConfig",
    "ClientVpcdConfig",
    "CommonConfig",
    "CtlConfig",
    "DaemonConfig",
    "DemoConfig",
    "EmulatorSettings",
    "HostPort",
    "IpNetwork",
    "KeepAliveSettings",
    "Limits",
    "LogFormat",
    "LogLevel",
    "PcscdSocket",
    "ServerConfig",
    "SlotOverride",
    "SlotReader",
    "SlotSource",
    "TextError",
    "Timers",
    "UiccConfig",
    "VpcdSettings",
    "decode_text",
    "default_state_dir",
    "load_config",
    "option_name",
    "parse_hex",
    "parse_settings",
    "read_text",
    "read_toml",
    "variable_name",
]

#: Where each name is that is loaded when first used; what is not named here is in ``models``.
_LATER: Final = {
    **dict.fromkeys(("load_config", "option_name", "parse_settings", "variable_name"), "load"),
    **dict.fromkeys(
        (
            "AtrRules",
            "ClientConfig",
            "ClientRunConfig",
            "ClientSlotConfig",
            "ClientVpcdConfig",
            "VpcdSettings",
        ),
        "client",
    ),
}


def _load(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_LATER.get(name, 'models')}")
    value: object = getattr(module, name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:
    # Not for the type checker, which would take every name for one that is there.
    __getattr__ = _load
