# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl`` and ``remsim-apitool`` over https: to a server of the installation, and not a word to anybody else."""

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from remsim.cli import classic
from remsim.cli.main import main
from remsim.core.identity import Identity
from remsim.net.tls.contexts import TlsContexts
from remsim.pki.credentials import Credentials
from remsim.pki.server_tls import NotServerError, server_context
from tests.doubles.certificates import BANK, DAY_S, SERVER, CertificateWorld
from tests.doubles.http_sink import Ear, listening

TOKEN = "remsim_token"


@pytest.fixture(autouse=True)
def _operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An operator with a token, on a host that has no server of its own."""
    monkeypatch.setenv("REMSIM_TOKEN", TOKEN)
    monkeypatch.setenv("REMSIM_STATE_DIR", str(tmp_path / "none"))


@pytest.fixture
def laptop(tmp_path: Path, ca: CertificateWorld) -> Path:
    """A copy of the authority's certificate, and nothing beside it."""
    (tmp_path / "laptop").mkdir()
    copy = tmp_path / "laptop" / "authority.pem"
    copy.write_bytes(ca.authority.certificate)
    return copy


def rest_of(credentials: Credentials) -> ssl.SSLContext:
    """REST as the holder of these credentials would serve it."""
    return TlsContexts(credentials).rest


def nameless(ca: CertificateWorld) -> ssl.SSLContext:
    """A server whose certificate the authority signed without saying whom it is for."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = serialization.load_pem_private_key((ca.directory / "ca" / "authority-key.pem").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(ca.authority.certificate)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    pair = ca.directory / "nameless.pem"
    pair.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context


async def ctl(ear: Ear, *words: str, scheme: str = "https://") -> int:
    """Run a command in a thread, as a process of its own would be."""
    return await asyncio.to_thread(main, ["ctl", "--rest", f"{scheme}127.0.0.1:{ear.port}", *words, "banks"])


async def test_server_of_the_authority_is_told_the_token(ca: CertificateWorld, laptop: Path) -> None:
    async with listening(rest_of(ca.credentials(SERVER))) as ear:
        assert await ctl(ear, "--authority", str(laptop)) == 0
        assert f"authorization: bearer {TOKEN}" in (await ear.next()).decode().lower()


async def test_address_alone_means_https_where_an_authority_is_named(
    ca: CertificateWorld, laptop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMSIM_AUTHORITY", str(laptop))
    async with listening(rest_of(ca.credentials(SERVER))) as ear:
        assert await ctl(ear, scheme="") == 0
        assert TOKEN in (await ear.next()).decode()
        tool = ["-p", str(ear.port), "-b"]
        assert await asyncio.to_thread(classic.apitool, tool) == 0
        assert TOKEN in (await ear.next()).decode()


async def test_apitool_takes_authority_and_scheme(ca: CertificateWorld, laptop: Path) -> None:
    async with listening(rest_of(ca.credentials(SERVER))) as ear:
        tool = ["-H", "https://localhost", "-p", str(ear.port), "--authority", str(laptop), "-b"]
        assert await asyncio.to_thread(classic.apitool, tool) == 0
        assert TOKEN in (await ear.next()).decode()


async def test_servers_own_host_needs_no_authority_named(ca: CertificateWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = ca.credentials(SERVER, folder="state/tls")
    monkeypatch.setenv("REMSIM_STATE_DIR", str(credentials.directory.parent))
    async with listening(rest_of(credentials)) as ear:
        assert await ctl(ear) == 0
        assert await ctl(ear, scheme="") == 0


@pytest.mark.parametrize("identity", [BANK, Identity.client(23)], ids=str)
async def test_other_role_of_the_same_authority_is_told_nothing(
    ca: CertificateWorld, laptop: Path, identity: Identity, capsys: pytest.CaptureFixture[str]
) -> None:
    async with listening(rest_of(ca.credentials(identity))) as ear:
        assert await ctl(ear, "--authority", str(laptop)) == 1
        assert await ear.next() == b""
    # What a client has is not even good for accepting connections.
    said = "is bank/1, no server" if identity == BANK else "it is not made for this side of a link"
    assert said in capsys.readouterr().err


async def test_certificate_without_an_identity_is_told_nothing(
    ca: CertificateWorld, laptop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with listening(nameless(ca)) as ear:
        assert await ctl(ear, "--authority", str(laptop)) == 1
        assert await ear.next() == b""
    assert "is somebody, no server; hint: check the URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("foreign", "it is of an authority that we do not trust; hint: name the authority of its installation"),
        ("expired", "it has expired; hint: see remsim pki show on the server's host"),
        ("system", "it is of an authority that we do not trust; hint: name the authority of its installation"),
    ],
)
async def test_server_that_is_not_trusted_is_told_nothing(
    ca: CertificateWorld, laptop: Path, tmp_path: Path, case: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = CertificateWorld(tmp_path / "other", name="other") if case == "foreign" else ca
    credentials = other.credentials(SERVER, now=ca.now - 200 * DAY_S if case == "expired" else None)
    words = () if case == "system" else ("--authority", str(laptop))
    async with listening(rest_of(credentials)) as ear:
        assert await ctl(ear, *words) == 1
        assert await ear.next() == b""
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert said in line


async def test_revoked_server_is_told_nothing_by_a_host_that_has_the_list(
    ca: CertificateWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    stolen, bank = ca.credentials(SERVER), ca.credentials(BANK)
    async with listening(rest_of(stolen)) as ear:
        assert await ctl(ear, "--authority", str(bank.authority_file)) == 0
        assert TOKEN in (await ear.next()).decode()
        ca.revoke(stolen)
        ca.tell(bank)
        assert await ctl(ear, "--authority", str(bank.authority_file)) == 1
        assert await ear.next() == b""
    assert "it is revoked" in capsys.readouterr().err


async def test_event_loops_get_no_further_with_somebody_else(ca: CertificateWorld) -> None:
    context = server_context(ca.authority.certificate)
    async with listening(rest_of(ca.credentials(BANK))) as ear:
        with pytest.raises(NotServerError, match="the peer is bank/1, no server"):
            await asyncio.open_connection("127.0.0.1", ear.port, ssl=context, server_hostname="lab")
        assert await ear.next() == b""
    async with listening(rest_of(ca.credentials(SERVER))) as ear:
        reader, writer = await asyncio.open_connection("127.0.0.1", ear.port, ssl=context, server_hostname="lab")
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        assert await ear.next() == b"GET / HTTP/1.1\r\n\r\n"
        writer.close()
        await writer.wait_closed()


async def test_older_tls_is_refused(ca: CertificateWorld, laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(ca.credentials(SERVER).pair_file)
    async with listening(context) as ear:
        assert await ctl(ear, "--authority", str(laptop)) == 1
        assert await ear.next() == b""
    assert "is not asked: " in capsys.readouterr().err


class TestWrongScheme:
    async def test_plain_http_at_a_port_for_tls(self, ca: CertificateWorld, capsys: pytest.CaptureFixture[str]) -> None:
        async with listening(rest_of(ca.credentials(SERVER))) as ear:
            assert await ctl(ear, scheme="http://") == 1
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert "does not speak plain HTTP; hint: with certificates it speaks https://: name the authority" in line

    async def test_https_at_a_plain_port(self, laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
        async with listening(None) as ear:
            assert await ctl(ear, "--authority", str(laptop)) == 1
            assert TOKEN.encode() not in await ear.next()
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert "the peer does not speak TLS; hint: without certificates, or with --rest-open, its REST is plain" in line

    async def test_another_programs_http(self, capsys: pytest.CaptureFixture[str]) -> None:
        """As that of the metrics."""
        async with listening(None, answer=b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as ear:
            assert await ctl(ear, scheme="http://") == 1
        assert "(HTTP 404); hint: is that the REST of a remsim server? It is at port 9997" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"]
)
def test_authority_that_is_none_is_named(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "authority.pem"
    path.write_bytes(content)
    assert main(["ctl", "--rest", "https://127.0.0.1:1", "--authority", str(path), "banks"]) == 2
    assert f"the authority {path} cannot be used" in capsys.readouterr().err
    assert main(["ctl", "--authority", str(tmp_path / "none.pem"), "banks"]) == 2
    assert "No such file" in capsys.readouterr().err
