# SPDX-License-Identifier: Apache-2.0
"""The settings of each program as one frozen object, with all defaults and all rules between settings.

A service gets such an object and asks nobody else. Knows no file, no environment and no command line: those are
merged in ``config.load``. A model may also be built directly, as tests and the demo do.
"""

from enum import Enum
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator

from remsim.config import fields
from remsim.config.files import AUTHORITY_NAME, CREDENTIALS_NAME
from remsim.config.values import BANKD_PORT, LOOPBACK_NETWORKS, REST_PORT, RSPRO_PORT, VPCD_PORT, HostPort, IpNetwork

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

#: The reader source that needs no hardware; its slots are software cards.
SIM_SOURCE: Final = "sim"
#: The reader source to which `[[pcscd]]` belongs.
PCSCD_SOURCE: Final = "pcscd"
#: The kernel has no room for longer paths of Unix sockets (unix(7): 108 bytes, one of which ends it).
_LONGEST_SOCKET: Final = 107


class ContradictionError(ValueError):
    """Settings that exclude each other; ``keys`` names them so that their origins can be told."""

    def __init__(self, keys: tuple[str, ...], reason: str, *, hint: str = "leave out one of the settings") -> None:
        super().__init__(reason)
        self.keys = keys
        self.hint = hint


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused, no value repeated in an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        # A program uses one of the models: each is built when it is first used.
        defer_build=True,
    )

    @classmethod
    def defaults(cls) -> Self:
        """With all defaults. They are not judged: that would build each table's model at every start."""
        return super().model_construct()


class EmulatorSettings(Settings):
    """Base of an emulator's own settings: frozen, unknown keys refused. See ``config.load.parse_settings``."""


class KeepAliveSettings(Settings):
    """CCM PING and PONG (rspro.md, section 3)."""

    #: Time from a PONG to the next PING.
    interval_s: fields.Seconds = 30.0
    #: The link ends if no PONG comes within this time.
    timeout_s: fields.Seconds = 10.0
    #: The same between programs of ours where a card session survives the loss of its link. There a dead link is to be
    #: noticed before the modem gives its card up, and one that is given up too early costs nothing.
    own_s: fields.Seconds = 2.0
    #: With `own_s`: a dead peer is noticed within the sum of both.
    own_timeout_s: fields.Seconds = 3.0


ResumeWord = Literal["proven", "always", "off"]
AheadWord = Literal["on", "off"]


class SessionSettings(Settings):
    """How a card session deals with a network that is slow or fails; the same settings at client and bankd."""

    #: Whether a card session goes on when its link is lost and comes back: on `proven` links, which are those over
    #: TLS; `always`, which lets anybody who can read a plain link take its session over; or `off`, as the C suite
    #: does it. It is done only if both ends allow it.
    resume: ResumeWord = "proven"
    #: How long an idle session is held without a link, with the card powered and out of use for others. The shorter
    #: time of both ends counts.
    hold_idle_s: fields.HoldTime = 60.0
    #: The same while a command of the modem waits. It is shorter because some modems give a card up that lets them wait
    #: for half a minute, and then a reset by us is quicker than theirs.
    hold_busy_s: fields.HoldTime = 30.0

    #: Whether answers are sent ahead: while an answer travels, the bankd runs the commands that the modem will probably
    #: send next, if they leave no trace on the card, and the client answers its modem at once if it does send them. It
    #: is done only if both ends allow it.
    ahead: AheadWord = "on"

    @property
    def is_ahead(self) -> bool:
        """Whether to offer it."""
        return self.ahead == "on"

    def resumes(self, *, is_proven: bool) -> bool:
        """Whether to offer it on a link; ``is_proven``: over TLS."""
        return self.resume == "always" or (self.resume == "proven" and is_proven)


class TraceFileSettings(Settings):
    """Of captures in `trace_dir`; each slot has files of its own."""

    #: A new file begins before one would be larger than so many MB (of a million bytes).
    max_mb: fields.Megabytes = 10.0
    #: A new file begins with the first command after so many seconds, too; without it, by size only.
    max_s: fields.Seconds | None = None
    #: So many files of a slot are kept, the newest ones.
    keep: fields.Count = 10
    #: When a new file begins, those that were written last so many days ago are removed.
    keep_days: fields.Days | None = None
    #: Keep commands that no modem has sent, too, marked as in GSMTAP.
    guesses: fields.Switch = False


class OtelSettings(Settings):
    """Spans for OpenTelemetry; only with the extra `otel`."""

    #: The collector, as http://HOST:4318; without it, nothing is sent, whatever the environment says. Certificates,
    #: headers and the like are taken from the standard variables, such as OTEL_EXPORTER_OTLP_HEADERS.
    endpoint: fields.CollectorUrl | None = None
    #: The share of commands of which spans are sent; bankd and client choose the same ones.
    share: fields.Share = 1.0


class TraceSettings(Settings):
    """Where bankd and client keep or send what passes at their slots, without anybody watching."""

    #: Captures for Wireshark are kept in this folder, secrets hidden; nowhere by default.
    trace_dir: fields.FilePath | None = None
    trace_files: TraceFileSettings = TraceFileSettings()
    otel: OtelSettings = OtelSettings()

    @property
    def has_outlets(self) -> bool:
        """Whether there is anything to keep or to send."""
        return self.trace_dir is not None or self.otel.endpoint is not None


class Timers(Settings):
    """Protocol deadlines that an operator may want to change."""

    #: Time for a TCP connection, and again for the answer to the connect request.
    connect_s: fields.Seconds = 10.0
    #: Time for an accepted peer to identify itself.
    identify_s: fields.Seconds = 10.0
    #: Time for the older of two links with one identity to answer a PING; otherwise the newer one replaces it.
    takeover_s: fields.Seconds = 3.0


class Limits(Settings):
    """How many accepted connections may be open whose peer is neither proven by TLS nor accepted."""

    #: Unidentified connections in all: a storm of a thousand clients after a power cut fits several times.
    unidentified: fields.Count = 4096
    #: The same from one source, which may be a whole site behind address translation; it never takes every place.
    unidentified_per_source: fields.Count = 2048


class CommonConfig(Settings):
    """What every command understands."""

    #: Name of the command, used in default paths and in error messages.
    program: ClassVar[str] = "remsim"
    #: Options of the command line that are not simply the key with dashes.
    option_names: ClassVar[dict[str, str]] = {"state_dir": "--state", "tls_dir": "--tls"}

    log_level: LogLevel = "info"
    log_format: LogFormat = "text"


class DaemonConfig(CommonConfig):
    """What the three long-running programs share."""

    #: Component name in the connect request; without it the host name, cut to 32 characters, is used.
    name: fields.Name | None = None
    #: Where Prometheus may fetch metrics; nowhere by default.
    metrics: fields.MetricsListen | None = None
    #: Networks with which RSPRO over plain TCP is allowed; None: not asked for.
    plaintext: fields.Plaintext = None
    #: Directory with key, certificate and whom to trust; without it `tls` in the state directory.
    tls_dir: fields.FilePath | None = None
    keepalive: KeepAliveSettings = KeepAliveSettings.defaults()
    timers: Timers = Timers.defaults()
    limits: Limits = Limits.defaults()

    @property
    def credentials_dir(self) -> Path | None:
        """Where key and certificate are, if anywhere."""
        state: Path | None = getattr(self, "state_dir", None)
        return self.tls_dir or (None if state is None else state / CREDENTIALS_NAME)

    @property
    def plaintext_networks(self) -> tuple[IpNetwork, ...]:
        """The networks with which plain TCP was explicitly allowed; empty if none."""
        return self.plaintext or ()

    @property
    def listener_networks(self) -> tuple[IpNetwork, ...]:
        """From which networks a listener for plain TCP that was asked for takes connections."""
        return self.plaintext or LOOPBACK_NETWORKS


class BankOverride(Settings):
    """What the server's operator knows better about one bank, ``[banks.N]``."""

    #: Where clients reach this bank; overrides what the bank announces.
    advertise: fields.BankdAddress


class ServerConfig(DaemonConfig):
    """Settings of ``remsim server``."""

    program: ClassVar[str] = "server"

    #: Where clients and bankds connect; by default every address of both IP versions.
    rspro: fields.RsproListen = HostPort("", RSPRO_PORT)
    #: Where REST is served; without it on every address, because hosts enrol there, if it is over TLS, and on
    #: 127.0.0.1 if not.
    rest: fields.RestListen | None = None
    rest_open: fields.Switch = False
    #: Rules on who may use which card, a TOML file; without it, whatever the operator maps.
    policy: fields.FilePath | None = None
    #: RSPRO over plain TCP here, too, for programs of the C suite; from the networks of `plaintext`.
    listen_plaintext: fields.RsproListen | None = None
    state_dir: fields.FilePath
    #: SQLAlchemy URL; without it an SQLite file in the state directory. May hold a password: never shown.
    database: Annotated[fields.PlainText | None, Field(repr=False)] = None
    #: Keep the IMSIs that bankds tell, also in the database; without it they are dropped when they come.
    keep_imsi: fields.Switch = False
    #: Bankds that cannot dial out are dialled at these addresses (architecture: CONNECTED_SERVER).
    dial_bank: fields.BankdAddresses = ()
    banks: dict[fields.BankKey, BankOverride] = {}
    #: Numbers for clients that connect without one; None: such clients are refused.
    client_id_pool: fields.IdPool | None = None
    #: Classic clients that may be sent to an IPv6 address: all, none, or these ids. A classic client ends when it
    #: has no route to an address, so this is off by default.
    ipv6_clients: fields.IdsOrSwitch = False
    #: Webhooks are sent to addresses of these networks only; none: to all but link-local ones and those where clouds
    #: give away credentials.
    webhook_networks: fields.Networks = ()

    def rest_address(self, *, is_protected: bool) -> HostPort:
        """Where REST is served; ``is_protected``: over TLS, and with tokens."""
        return self.rest or HostPort("" if is_protected else "127.0.0.1", REST_PORT)

    @property
    def authority_dir(self) -> Path:
        """Where the authority of this installation is, if this host has it."""
        return self.state_dir / AUTHORITY_NAME

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database to use."""
        return self.database or f"sqlite+aiosqlite:///{self.state_dir / 'server.sqlite'}"

    def gives_ipv6_to(self, client_id: int) -> bool:
        """Return True if a classic client with this id may be sent to an IPv6 address."""
        if isinstance(self.ipv6_clients, bool):
            return self.ipv6_clients
        return client_id in self.ipv6_clients


class SlotSource(Enum):
    """Where a bankd learns which reader belongs to which slot."""

    #: A classic CSV file that was named.
    CSV = "csv"
    #: The ``[[slot]]`` tables of the configuration file.
    TABLE = "table"
    #: Readers are found and their slots remembered in the state directory.
    AUTO = "auto"
    #: Each slot is a software card.
    SIM = "sim"
    #: Nothing was said: the classic CSV file in the current folder if there is one, else AUTO.
    UNSPECIFIED = "unspecified"


class SlotReader(Settings):
    """One ``[[slot]]``: which reader serves this slot, by its exact name or by a pattern for the whole name."""

    #: Number of the slot.
    slot: fields.Id
    #: The reader's exact name.
    reader: fields.PlainText | None = None
    #: Regular expression (Python's) that matches the reader's whole name; instead of ``reader``.
    pattern: fields.Pattern | None = None
    #: Overrides the bank-wide ``shared_access`` for this slot.
    shared: fields.Switch | None = None

    def matches(self, reader_name: str) -> bool:
        """Return True if the reader of this name serves the slot."""
        if self.pattern is not None:
            return self.pattern.fullmatch(reader_name) is not None
        return reader_name == self.reader

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if (self.reader is None) == (self.pattern is None):
            raise ValueError(f"slot {self.slot} needs either reader (exact name) or pattern (regular expression)")
        return self


class ReaderDeadlines(Settings):
    """How long a reader may take for what is no command; those have `card_deadline_s`."""

    #: To power a card up. Drivers try three voltages and several speeds, and a hub that was switched on starts all its
    #: readers at once.
    open_s: fields.Seconds = 20.0
    #: To reset a card. A sound reader needs a tenth of a second; one whose card is silent tries several times.
    reset_s: fields.Seconds = 15.0
    #: To power a card off. What takes longer hangs, and is left to itself; the next client of the slot waits for this.
    close_s: fields.Seconds = 5.0


class PcscdSocket(Settings):
    """One ``[[pcscd]]``: where a pcscd is reached."""

    #: Its socket.
    socket: fields.FilePath
    #: Its readers are named `NAME/reader`. Without a name, one of several is called by its number, from 1.
    name: fields.PlainText | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name is not None and "/" in self.name:
            raise ValueError("the name of a pcscd has no slash")
        if len(str(self.socket).encode("utf-8", "surrogateescape")) > _LONGEST_SOCKET:
            raise ValueError(f"the path of a socket has at most {_LONGEST_SOCKET} bytes")
        return self


class SlotOverride(Settings):
    """What holds for one slot in place of what the bank has, ``[overrides.N]``."""

    #: Whether answers of this slot's card are sent ahead.
    ahead: AheadWord


class BankdConfig(TraceSettings, SessionSettings, DaemonConfig):
    """Settings of ``remsim bankd``."""

    program: ClassVar[str] = "bankd"
    option_names: ClassVar[dict[str, str]] = {
        "state_dir": "--state",
        "tls_dir": "--tls",
        "shared_access": "--shared",
    }

    server: fields.ServerAddress = HostPort("127.0.0.1", RSPRO_PORT)
    bank_id: fields.Id = 1
    #: Number of slots of this bank; they are numbered from 0.
    slots: fields.SlotCount = 8
    #: Where clients connect; by default every address of both IP versions.
    listen: fields.BankdListen = HostPort("", BANKD_PORT)
    #: Clients that cannot speak TLS connect here; from the networks of `plaintext`.
    listen_plaintext: fields.BankdListen | None = None
    #: Addresses at which clients reach this bankd; port 0 stands for the port of ``listen``.
    advertise: fields.AdvertisedAddresses = ()
    state_dir: fields.FilePath
    #: Tables ``[overrides.N]``, wherever the readers of the slots come from.
    overrides: dict[fields.SlotKey, SlotOverride] = {}
    csv: fields.FilePath | None = None
    auto: fields.Switch = False
    #: Tables ``[[slot]]``.
    slot: tuple[SlotReader, ...] = ()
    #: Name of the reader source: "pcscd", "pcsc", "sim", or one that another package provides. None: pcscd where its
    #: socket answers with a version that is known, else pcsc.
    reader: fields.PlainText | None = None
    #: Tables ``[[pcscd]]``; none: the pcscd of this host.
    pcscd: tuple[PcscdSocket, ...] = ()
    sim_profile: fields.PlainText | None = None
    #: What a software card takes for a command; real ones take some 5 to 50 ms.
    card_time_ms: fields.CardTime = 0.0
    #: Open cards in shared mode, so that other programs may use them, too.
    shared_access: fields.Switch = False
    #: Tell the server the numbers (ICCIDs) of cards, which are powered for that when they come.
    read_numbers: fields.Switch = True
    #: Tell a server that asks for it what cards say without a PIN: IMSI, service provider, and the EID of an eUICC. It
    #: is read with the number, so not without `read_numbers`.
    inventory: Literal["on", "off"] = "on"
    #: A card that has not answered a command by then has failed.
    card_deadline_s: fields.Seconds = 60.0
    reader_deadlines: ReaderDeadlines = ReaderDeadlines.defaults()
    gsmtap: fields.GsmtapAddress | None = None
    gsmtap_slot: fields.Id | None = None
    gsmtap_reveal: fields.Switch = False
    gsmtap_guesses: fields.Switch = False
    #: Rules on commands, a TOML file; without it, the shipped ones, which note and block nothing.
    guard: fields.FilePath | None = None

    @property
    def credentials_dir(self) -> Path | None:
        """Where key and certificate are; None, also if there are some in the state directory, where all is plain."""
        is_plain = self.plaintext is not None and self.listen_plaintext is None
        return None if is_plain and self.tls_dir is None else super().credentials_dir

    @property
    def slot_source(self) -> SlotSource:
        """Where the readers of the slots are to be learnt from."""
        if self.csv is not None:
            return SlotSource.CSV
        if self.slot:
            return SlotSource.TABLE
        if self.auto:
            return SlotSource.AUTO
        return SlotSource.SIM if self.reader == SIM_SOURCE else SlotSource.UNSPECIFIED

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        given = [key for key in ("csv", "auto", "slot") if getattr(self, key)]
        if self.reader == SIM_SOURCE:
            given.append("reader")
        if len(given) > 1:
            raise ContradictionError(tuple(given), "only one of them can say which readers the slots have")
        if self.sim_profile is not None and self.reader != SIM_SOURCE:
            raise ContradictionError(
                ("sim_profile", "reader"), "a profile is for software cards only", hint="add --reader sim"
            )
        if self.card_time_ms and self.reader != SIM_SOURCE:
            raise ContradictionError(
                ("card_time_ms", "reader"), "only software cards are as slow as they are told", hint="add --reader sim"
            )
        return self

    @model_validator(mode="after")
    def _check_pcscd(self) -> Self:
        if self.pcscd and self.reader not in (None, PCSCD_SOURCE):
            raise ContradictionError(
                ("pcscd", "reader"), "these sockets are used by reader pcscd only", hint="leave reader out"
            )
        sockets = {entry.socket for entry in self.pcscd}
        # One without a name is called by its number.
        names = {entry.name or str(number) for number, entry in enumerate(self.pcscd, start=1)}
        if len(sockets) < len(self.pcscd) or len(names) < len(self.pcscd):
            raise ContradictionError(("pcscd",), "two have one socket or one name", hint="each needs its own")
        return self

    @model_validator(mode="after")
    def _check_slot_numbers(self) -> Self:
        # A slot beyond the last one is warned about, as a line of the CSV file is: --slots may be smaller for once.
        numbers = [entry.slot for entry in self.slot]
        for number in numbers:
            if numbers.count(number) > 1:
                raise ContradictionError(("slot",), f"slot {number} is described more than once", hint="keep one")
        return self

    @model_validator(mode="after")
    def _check_overrides(self) -> Self:
        beyond = [number for number in self.overrides if number >= self.slots]
        if beyond:
            raise ContradictionError(
                ("overrides", "slots"), f"slot {beyond[0]} does not exist in this bank", hint="count from 0"
            )
        return self

    def is_ahead_in(self, slot_nr: int) -> bool:
        """Whether answers of this slot's card are sent ahead."""
        override = self.overrides.get(slot_nr)
        return (self.ahead if override is None else override.ahead) == "on"

    @model_validator(mode="after")
    def _check_gsmtap(self) -> Self:
        if self.gsmtap_slot is not None and self.gsmtap is None:
            raise ContradictionError(
                ("gsmtap_slot",), "it limits GSMTAP to one slot, but no gsmtap host is given", hint="give --gsmtap HOST"
            )
        if self.gsmtap_guesses and self.gsmtap is None:
            raise ContradictionError(
                ("gsmtap_guesses",), "it adds to GSMTAP, but no gsmtap host is given", hint="give --gsmtap HOST"
            )
        if self.gsmtap_slot is not None and self.gsmtap_slot >= self.slots:
            raise ContradictionError(
                ("gsmtap_slot", "slots"), f"slot {self.gsmtap_slot} does not exist in this bank", hint="count from 0"
            )
        return self


class CtlConfig(CommonConfig):
    """Settings of ``remsim ctl``."""

    program: ClassVar[str] = "ctl"

    #: Base URL of the server's REST interface, or its HOST:PORT; None: port 9997 of this host.
    rest: fields.PlainText | None = None
    #: PEM file of the authority whose server it must be; without it that of a server on this host, or the system's.
    authority: fields.FilePath | None = None
    #: Bearer token; from REMSIM_TOKEN or the file, never from the command line, where others could read it.
    token: Annotated[fields.PlainText | None, Field(repr=False)] = None
    #: Give up if the server does not answer within this time.
    timeout_s: fields.Seconds = 10.0


class UiccConfig(DaemonConfig):
    """Settings of ``remsim uicc``: one software card in a reader of vpcd."""

    program: ClassVar[str] = "uicc"
    option_names: ClassVar[dict[str, str]] = {"card_state_dir": "--state", "card_number": "--number"}

    vpcd: fields.VpcdAddress = HostPort("127.0.0.1", VPCD_PORT)
    #: Name of a shipped profile, or the path of a profile file.
    profile: fields.PlainText = "default"
    #: Where the card keeps what it remembers; without it, the card is a new one at each start.
    card_state_dir: fields.FilePath | None = None
    #: Forget what is stored.
    fresh: fields.Switch = False
    #: Makes identities differ: added to the profile's IMSI, ICCID and number.
    card_number: fields.Id = 0


class DemoConfig(DaemonConfig):
    """Settings of ``remsim demo``."""

    program: ClassVar[str] = "demo"

    #: End after one start of the modem.
    once: fields.Switch = False


#: Settings whose values may be secrets and are never repeated in a message.
SECRET_KEYS: Final = frozenset({"database", "token"})


def table_model(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The model of the table under ``key``, or of one table in the list or dictionary there; None if it has none."""
    field = model.model_fields.get(key)
    if field is None:
        return None
    candidates = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def has_tables(model: type[BaseModel], key: str) -> bool:
    """Whether ``key`` holds a table of any kind, which no single line of text can set."""
    field = model.model_fields[key]
    return table_model(model, key) is not None or get_origin(field.annotation) is dict


__all__ = [
    "SECRET_KEYS",
    "AheadWord",
    "BankOverride",
    "BankdConfig",
    "CommonConfig",
    "ContradictionError",
    "CtlConfig",
    "DaemonConfig",
    "EmulatorSettings",
    "KeepAliveSettings",
    "LogFormat",
    "LogLevel",
    "PcscdSocket",
    "ReaderDeadlines",
    "ServerConfig",
    "SessionSettings",
    "Settings",
    "SlotOverride",
    "SlotReader",
    "SlotSource",
    "Timers",
    "UiccConfig",
    "has_tables",
    "table_model",
]
