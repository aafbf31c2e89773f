# SPDX-License-Identifier: Apache-2.0
"""Settings: one frozen object per program, resolved once, with TOML file < environment < command line.

``values`` has the value types, ``models`` and ``client`` the settings with their defaults and rules, ``load`` the
merging. Nothing here knows a socket, a clock or the process's own environment.
"""

from remsim.config.client import (
    AtrRules,
    ClientConfig,
    ClientRunConfig,
    ClientSlotConfig,
    ClientVpcdConfig,
    VpcdSettings,
)
from remsim.config.load import default_state_dir, load_config, option_name, parse_settings, read_toml
from remsim.config.models import (
    AUTHORITY_NAME,
    CREDENTIALS_NAME,
    BankdConfig,
    BankOverride,
    CommonConfig,
    CtlConfig,
    DaemonConfig,
    DemoConfig,
    EmulatorSettings,
    KeepAlive,
    Limits,
    LogFormat,
    LogLevel,
    ServerConfig,
    SlotReader,
    SlotSource,
    Timers,
    UiccConfig,
)
from remsim.config.text import TextError, decode_text, read_text
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
    "KeepAlive",
    "Limits",
    "LogFormat",
    "LogLevel",
    "ServerConfig",
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
]
