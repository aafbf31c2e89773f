# SPDX-License-Identifier: Apache-2.0
"""Whether server and bankd can be reached, over TLS where this host has a certificate, and whether ports are free.

A probe connects, proves itself with the host's certificate, sends PING, and waits for PONG (rspro.md, section 3): any
program of ours answers that before it knows who asks. It sends no connect request, so it takes no running program's
place. ``probe`` gathers, the functions with ``judge`` in their names only think.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from remsim.causes import Cause, cause_of
from remsim.config import HostPort
from remsim.core.errors import RemsimError
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Identity, Role
from remsim.core.values import dataclass
from remsim.doctor.check import Situation
from remsim.doctor.client_destinations import ClientDestination, TellsNothingError, client_destinations
from remsim.net.runtime.tasks import all_of, in_thread
from remsim.net.tls.contexts import Expectation, HandshakeError, LinkTls, TlsContexts
from remsim.pki.credentials import Credentials
from remsim.pki.errors import CertificateError
from remsim.pki.facts import read_certificate
from remsim.wire.ccm import PING, CcmType
from remsim.wire.errors import FrameError
from remsim.wire.ipa import FrameReader

#: A probe that has not ended by then has failed.
DEADLINE_S: Final = 5.0
#: A peer that does not answer the end of TLS by then is left.
_GOODBYE_S: Final = 1.0
_READ_BYTES: Final = 4096
#: Places that a server names are tried up to this number.
_MAX_PLACES: Final = 8

_PORTS: Final = "RSPRO is on port 9998, REST on 9997, the bankd on 9999"
_NAMES: Final = {Role.SERVER: "server", Role.BANK: "bankd"}


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What became of one attempt. ``error`` is None if PONG came."""

    address: HostPort
    is_tls: bool
    elapsed_s: float = 0.0
    error: Exception | None = None
    #: What the peer said first; nothing if it said nothing.
    said: bytes = b""
    #: Who the peer's certificate says it is, once it is verified.
    peer: Identity | None = None
    #: Why a verified peer is not whom we want.
    foreign: str = ""

    @property
    def is_http(self) -> bool:
        """Whether the peer answered as a web server does."""
        return self.said.startswith(b"HTTP/")


async def probe(address: HostPort, tls: LinkTls | None = None) -> ProbeResult:
    """Connect, over TLS if that is given, send PING and wait for PONG. Never raises; ends within ``DEADLINE_S``."""
    talk = _Talk(address, tls)
    began = time.perf_counter()
    error: Exception | None = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            await talk.hold()
    except (OSError, EOFError, FrameError) as failure:
        error = failure
    elapsed_s = time.perf_counter() - began
    return ProbeResult(address, tls is not None, elapsed_s, error, talk.said, talk.peer, talk.foreign)


class _Talk:
    """One attempt, and what was learnt on the way, however it ended."""

    def __init__(self, address: HostPort, tls: LinkTls | None) -> None:
        self._address = address
        self._tls = tls
        self.said = b""
        self.peer: Identity | None = None
        self.foreign = ""

    async def hold(self) -> None:
        """Raises OSError, EOFError and FrameError."""
        reader, writer = await self._connect()
        try:
            self._look_at(writer.get_extra_info("ssl_object"))
            writer.write(PING)
            await self._await_pong(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # One address after the other: asyncio would make one error without a number of several.
        context = None if self._tls is None else self._tls.contexts.client
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        hosts = list(dict.fromkeys(str(name[0]) for *_, name in found))
        for host in hosts[:-1]:
            with contextlib.suppress(OSError):
                return await _open(host, self._address.port, context)
        return await _open(hosts[-1], self._address.port, context)

    def _look_at(self, ssl_object: ssl.SSLObject | None) -> None:
        if self._tls is None or ssl_object is None:
            return
        with contextlib.suppress(CertificateError):
            self.peer = read_certificate(ssl_object.getpeercert(binary_form=True) or b"").identity
        try:
            self._tls.check_peer(ssl_object)
        except HandshakeError as error:
            self.foreign = str(error)

    async def _await_pong(self, reader: asyncio.StreamReader) -> None:
        frames = FrameReader()
        while True:
            data = await reader.read(_READ_BYTES)
            if not data:
                raise EOFError("it closes the connection")
            self.said = self.said or data
            frames.receive_data(data)
            while (frame := frames.next_frame()) is not None:
                is_rspro, payload = frame
                if not is_rspro and payload[0] == CcmType.PONG:
                    return


async def _open(
    host: str, port: int, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if context is None:
        return await asyncio.open_connection(host, port)
    return await asyncio.open_connection(host, port, ssl=context, ssl_shutdown_timeout=_GOODBYE_S)


def judge(found: ProbeResult, role: Role, *, check: str = "") -> Finding:
    """What a probe of a server or a bankd means."""
    name = check or _NAMES[role]
    if found.foreign:
        mend = f"is it the right host and port? {_PORTS}"
        return Finding(name, Outcome.PROBLEM, f"{found.address}: {found.foreign}", mend)
    if found.error is None:
        who = f" is {found.peer} and" if found.peer is not None else ""
        how = " over TLS" if found.is_tls else ""
        return Finding(name, Outcome.OK, f"{found.address}{who} answers{how} in {found.elapsed_s * 1000:.0f} ms")
    text, mend = judge_failure(found, role)
    return Finding(name, Outcome.PROBLEM, text, mend)


def judge_failure(found: ProbeResult, role: Role) -> tuple[str, str]:
    """Why there was no PONG, and what to do."""
    address, error = found.address, found.error
    if found.is_http:
        return f"{address} speaks HTTP, not RSPRO", f"is that the REST port? {_PORTS}"
    if isinstance(error, ssl.SSLError):
        cause = cause_of(error)
        return f"{address}: {cause.words}", cause.hint or f"see the log of the program there; {_PORTS}"
    if isinstance(error, TimeoutError):
        port = {Role.SERVER: "RSPRO (TCP 9998)", Role.BANK: "the bankd's port (TCP 9999)"}[role]
        return (
            f"{address} does not answer",
            f"is it the right host and port, and does a firewall on the way let {port} through?",
        )
    if isinstance(error, socket.gaierror):
        mend = "check the name, and this host's DNS (resolvectl query, /etc/resolv.conf)"
        return f"{address.host} cannot be found: {error.strerror}", mend
    if isinstance(error, ConnectionRefusedError):
        command = {Role.SERVER: "remsim server", Role.BANK: "remsim bankd"}[role]
        other = ", or name the right one with --server HOST:PORT" if role is Role.SERVER else ""
        return f"nothing listens at {address}", f"start it there ({command}){other}"
    if isinstance(error, FrameError | EOFError | ConnectionError):
        reason = "it closes the connection" if isinstance(error, ConnectionError) else str(error)
        return f"{address} speaks no RSPRO: {reason}", f"does another program have this port? {_PORTS}"
    cause = Cause("it failed without a reason") if error is None else cause_of(error)
    return f"{address}: {cause.words}", cause.hint or "check the route to it"


async def examine_peer(address: HostPort, tls: LinkTls | None, role: Role, *, check: str = "") -> Finding:
    """Probe, and where the peer speaks something else than expected, find out what."""
    found = await probe(address, tls)
    name = check or _NAMES[role]
    if found.error is None or found.is_http or found.foreign or not _may_speak_otherwise(found.error):
        return judge(found, role, check=check)
    if tls is not None:
        plain = await probe(address)
        if plain.error is None:
            mend = (
                f"give the {_NAMES[role]} there a certificate, or allow plain TCP here with --plaintext "
                "and an empty --tls directory"
            )
            return Finding(name, Outcome.PROBLEM, f"{address} speaks RSPRO without TLS", mend)
        return judge(plain if plain.is_http else found, role, check=check)
    if await _speaks_tls(address):
        mend = "enrol this host: remsim pki code IDENTITY on the server, remsim enroll URL CODE here"
        return Finding(name, Outcome.PROBLEM, f"{address} speaks TLS only, and this host has no certificate", mend)
    return judge(found, role, check=check)


def _may_speak_otherwise(error: Exception) -> bool:
    """Whether the peer took the connection, and did not understand what came."""
    if isinstance(error, ssl.SSLCertVerificationError | ConnectionRefusedError):
        return False
    return isinstance(error, ssl.SSLError | EOFError | FrameError | ConnectionError)


async def _speaks_tls(address: HostPort) -> bool:
    """Whether a TLS handshake begins. Who is there does not matter, and nothing is said to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(DEADLINE_S):
            _, writer = await _open(address.host, address.port, context)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def link_tls(situation: Situation, *roles: Role) -> LinkTls | None:
    """What links of this program are over; None: plain TCP, or the certificate's own check has told why not."""
    directory = situation.tls_dir
    try:
        if directory is None or not Credentials(directory).exist():
            return None
        return LinkTls(TlsContexts(Credentials(directory)), Expectation.of(*roles))
    except (RemsimError, OSError):
        return None


def has_certificate(situation: Situation) -> bool:
    """Whether there is a certificate, good or bad."""
    try:
        return situation.tls_dir is not None and Credentials(situation.tls_dir).exist()
    except OSError:
        # It is there, or something is, and others must not see it.
        return True


async def check_server(situation: Situation) -> Sequence[Finding]:
    """Whether the server answers, and is one."""
    tls = link_tls(situation, Role.SERVER)
    if tls is None and has_certificate(situation):
        text = f"{situation.server} is not asked: the certificate of this host cannot be used"
        return [Finding("server", Outcome.NOTE, text, "replace the certificate first")]
    return [await examine_peer(situation.server, tls, Role.SERVER)]


async def check_bankd(situation: Situation) -> Sequence[Finding]:
    """Whether the bankds that the server names to this host's clients answer."""
    if situation.open_rest is None:
        text = "not examined: without a token, the doctor cannot ask which bankd the server names"
        return [Finding("bankd", Outcome.NOTE, text, "set REMSIM_TOKEN to a viewer's token (remsim token create)")]
    try:
        rows = await in_thread(situation.open_rest().get_list, "clients")
    except RemsimError as error:
        return [Finding("bankd", Outcome.NOTE, f"not looked at: {error}", error.hint)]
    tls = link_tls(situation, Role.BANK)
    try:
        places = client_destinations(rows, _own_clients(situation, tls))
    except TellsNothingError as error:
        return [Finding("bankd", Outcome.NOTE, str(error), error.hint)]
    if not places:
        text = f"not looked at: the server at {situation.server} has none of this host's clients"
        return [Finding("bankd", Outcome.NOTE, text, "start the client, and look again")]
    # At the same time: one after the other, a few that are silent would take longer than a check may.
    return await all_of(*(_look_at_bankd(place, tls) for place in places[:_MAX_PLACES]))


def _own_clients(situation: Situation, tls: LinkTls | None) -> list[Identity]:
    own = [Identity.client(slot.client.client_id, slot.client.slot_nr) for slot in situation.slots if slot.client]
    return own or ([] if tls is None else [tls.contexts.identity])


async def _look_at_bankd(place: ClientDestination, tls: LinkTls | None) -> Finding:
    if place.address is None:
        text = place.problem or f"the server has named no bankd to {place.peer}"
        return Finding(
            "bankd", Outcome.NOTE, text, f"is {place.peer} mapped, and its bank connected? see remsim ctl clients"
        )
    found = await examine_peer(place.address, tls, Role.BANK)
    return Finding(found.check, found.outcome, f"{place.peer}: {found.text}", found.mend)


# Ports of this host's own program


@dataclass(frozen=True, slots=True)
class OwnPort:
    """A port that the program of this host listens on."""

    address: HostPort
    #: What it is for.
    use: str
    is_rest: bool = False


def own_ports(situation: Situation) -> list[OwnPort]:
    """Those that the configuration names."""
    ports: list[OwnPort] = []
    if situation.bankd is not None:
        ports.append(OwnPort(situation.bankd.listen, "clients"))
    if situation.server_config is not None:
        config = situation.server_config
        ports.append(OwnPort(config.rspro, "RSPRO"))
        ports.append(OwnPort(config.rest_address(is_protected=has_certificate(situation)), "REST", is_rest=True))
    return [port for port in ports if port.address.port]


async def check_own_ports(situation: Situation) -> Sequence[Finding]:
    """Whether the ports of this host's program are free, or held by remsim."""
    tls = link_tls(situation, *Role)
    return await all_of(*(_look_at_port(port, tls) for port in own_ports(situation)))


async def _look_at_port(port: OwnPort, tls: LinkTls | None) -> Finding:
    found = await probe(_reachable(port.address), tls)
    if found.error is not None and tls is not None and found.peer is None and _may_speak_otherwise(found.error):
        # Without TLS, as with --rest-open or at a port for plain TCP.
        found = await probe(found.address)
    return judge_port(port, found, None if tls is None else tls.contexts.identity)


def judge_port(port: OwnPort, found: ProbeResult, own: Identity | None) -> Finding:
    """What a probe of a port of this host means. ``own`` is whose certificate this host has."""
    where = f"port {port.address.port} ({port.use})"
    if isinstance(found.error, ConnectionRefusedError):
        return Finding("port", Outcome.OK, f"{where} is free")
    if found.peer is not None and found.peer != own:
        mend = "end it, or choose another port"
        return Finding("port", Outcome.PROBLEM, f"{where} is held by {found.peer}, another program", mend)
    if found.peer is not None or (found.is_http if port.is_rest else found.error is None):
        return Finding("port", Outcome.OK, f"{where} is held by remsim")
    if isinstance(found.error, OSError) and not isinstance(found.error, ssl.SSLError | ConnectionError | TimeoutError):
        text, mend = judge_failure(found, Role.SERVER)
        return Finding("port", Outcome.PROBLEM, text, mend)
    mend = f"see which: ss -ltnp 'sport = :{port.address.port}'; end it, or choose another port"
    return Finding("port", Outcome.PROBLEM, f"{where} is held by a program that is not remsim", mend)


def _reachable(address: HostPort) -> HostPort:
    """Where this host itself reaches a listener."""
    if not address.host:
        return HostPort("127.0.0.1", address.port)
    with contextlib.suppress(ValueError):
        if ip_address(address.host).is_unspecified:
            return HostPort("127.0.0.1" if ip_address(address.host).version == 4 else "::1", address.port)
    return address
