# SPDX-License-Identifier: Apache-2.0
"""Enrolment and renewal over real HTTPS, with both toolkits on the host's side."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx2
import pytest

from remsim.core.identity import Identity
from remsim.net.tls.contexts import TlsContexts
from remsim.pki import enrol, files, signing
from remsim.pki.codes import LIFETIME_S, TRIES, EnrolmentCode
from remsim.pki.credentials import Credentials
from remsim.pki.enrol import enroll, parse_target, renew
from remsim.pki.errors import EnrolmentError, KeyFileError
from remsim.pki.facts import CertificateFacts, decode_pem, encode_pem
from remsim.pki.messages import ANCHOR_PATH, CERTIFICATE_PATH, RENEWAL_PATH
from remsim.pki.toolkit import CryptographyToolkit, OpensslToolkit, Toolkit
from remsim.server.core.actions import Actor
from remsim.server.core.tokens import FAILURES_ALLOWED
from tests.doubles.certificates import BANK, DAY_S, SERVER, CertificateWorld
from tests.doubles.enrolment_server import EnrolmentServer, dripping_server, enrolment_server
from tests.doubles.server_rig import running_server

both = pytest.mark.parametrize("tool", [CryptographyToolkit(), OpensslToolkit()], ids=lambda tool: str(tool.name))
TOOL = CryptographyToolkit()


@pytest.fixture
def ca(tmp_path: Path) -> CertificateWorld:
    """An authority of our own."""
    return CertificateWorld(tmp_path / "lab")


@pytest.fixture
def host(tmp_path: Path) -> Credentials:
    """A host that has nothing yet."""
    return Credentials(tmp_path / "host" / "tls")


async def do_enroll(
    server: EnrolmentServer, code: EnrolmentCode, host: Credentials, tool: Toolkit = TOOL
) -> CertificateFacts:
    """Enrol in a thread, as a program would."""
    return await asyncio.to_thread(enroll, server.url, code, host, tool)


@both
async def test_new_host_gets_a_certificate_that_works(ca: CertificateWorld, host: Credentials, tool: Toolkit) -> None:
    async with enrolment_server(ca) as server:
        code = EnrolmentCode.parse(ca.authority.make_code(BANK, now=server.now).to_text())
        facts = await do_enroll(server, code, host, tool)
        assert facts.identity == BANK
        assert host.check() == facts
        assert host.source() == server.url
        assert TlsContexts(host).identity == BANK
        assert not host.next_key_file.exists()
        issued = await server.log.next("certificate_issued")
        assert issued["identity"] == "bank/1"
        assert issued["how"] == "accepted"


@both
async def test_certificate_is_renewed_with_a_new_key(ca: CertificateWorld, host: Credentials, tool: Toolkit) -> None:
    async with enrolment_server(ca) as server:
        await do_enroll(server, ca.authority.make_code(BANK, now=server.now), host, tool)
        before = host.certificate()
        server.now += 60 * DAY_S
        # The server's own certificate is judged by the real clock; only the book's time has moved.
        after = await asyncio.to_thread(renew, host, tool)
        assert after.identity == BANK
        assert after.serial != before.serial
        assert after.public_key != before.public_key
        assert host.certificate() == after
        ca.authority.revoke([after.serial], now=server.now)
        with pytest.raises(EnrolmentError, match="is revoked") as caught:
            await asyncio.to_thread(renew, host, tool)
        assert caught.value.status == 403
        assert host.certificate() == after


async def test_renewal_brings_the_next_certificate_of_an_extended_authority(
    ca: CertificateWorld, host: Credentials
) -> None:
    async with enrolment_server(ca) as server:
        await do_enroll(server, ca.authority.make_code(BANK, now=ca.now), host)
        old = host.authority()
        ca.authority.extend(ca.now)
        await asyncio.to_thread(renew, host, TOOL)
    assert host.authority() == ca.authority.certificate != old
    host.check_origin()
    assert host.pair_file.read_bytes().endswith(ca.authority.certificate)
    assert TlsContexts(host).identity == BANK


async def test_list_of_a_time_to_come_keeps_no_host_from_renewing(ca: CertificateWorld, host: Credentials) -> None:
    async with enrolment_server(ca) as server:
        await do_enroll(server, ca.authority.make_code(BANK, now=ca.now), host)
        ca.authority.publish_list(ca.now + 70 * DAY_S)
        ca.tell(host)
        before = host.certificate()
        ca.authority.publish_list(ca.now)
        assert (await asyncio.to_thread(renew, host, TOOL)).serial != before.serial
    revocations = host.revocations()
    assert revocations is not None
    assert revocations.issued_at.timestamp() <= ca.now


async def test_lost_answer_is_had_by_asking_again(ca: CertificateWorld, host: Credentials) -> None:
    async with enrolment_server(ca) as server:
        code = ca.authority.make_code(BANK, now=server.now)
        host.prepare_key(TOOL)
        key = host.next_key_file.read_bytes()
        first = await do_enroll(server, code, host)
        # As if the process had died before it stored the answer.
        host.pair_file.unlink()
        files.write_private(host.next_key_file, key)
        assert await do_enroll(server, code, host) == first
        assert len(ca.authority.issued_to(BANK)) == 1


class TestRefusals:
    async def test_used_code_serves_no_second_host(
        self, ca: CertificateWorld, host: Credentials, tmp_path: Path
    ) -> None:
        async with enrolment_server(ca) as server:
            code = ca.authority.make_code(BANK, now=server.now)
            await do_enroll(server, code, host)
            with pytest.raises(EnrolmentError, match="the code was used already"):
                await do_enroll(server, code, Credentials(tmp_path / "thief"))
            assert not Credentials(tmp_path / "thief").exist()
            granted, refused = server.entries
            assert (granted.actor, granted.action) == (Actor("bank/1", "127.0.0.1"), "certificate.issue")
            assert (refused.actor, refused.action) == (Actor("enrolment", "127.0.0.1"), "certificate.refuse")
            assert (refused.outcome, refused.detail) == ("refused", "the code was used already")

    async def test_expired_code(self, ca: CertificateWorld, host: Credentials) -> None:
        async with enrolment_server(ca) as server:
            code = ca.authority.make_code(BANK, now=server.now)
            server.now += LIFETIME_S
            with pytest.raises(EnrolmentError, match="older than an hour"):
                await do_enroll(server, code, host)

    async def test_guessing_ends_the_code_and_slows_the_guesser(self, ca: CertificateWorld, host: Credentials) -> None:
        async with enrolment_server(ca) as server:
            code = ca.authority.make_code(BANK, now=server.now)
            for _ in range(TRIES):
                with pytest.raises(EnrolmentError, match="the code is not valid"):
                    await do_enroll(server, replace(code, secret=bytes(16)), host)
            with pytest.raises(EnrolmentError, match="tried too often"):
                await do_enroll(server, code, host)
            for _ in range(4):
                with pytest.raises(EnrolmentError, match="the code is not valid"):
                    await do_enroll(server, replace(code, code_id=bytes(6)), host)
            with pytest.raises(EnrolmentError, match="too many failed attempts; wait 6 s") as caught:
                await do_enroll(server, code, host)
            assert caught.value.status == 429
            refused = await server.log.next("enrolment_refused")
            assert refused["reason"] == "the code is not valid"

    async def test_impostor_with_another_authority_never_sees_the_secret(
        self, ca: CertificateWorld, host: Credentials, tmp_path: Path
    ) -> None:
        other = CertificateWorld(tmp_path / "other")
        async with enrolment_server(other) as server:
            # It knows the name of the code from having listened, and answers with its own authority.
            code = replace(other.authority.make_code(BANK, now=server.now), fingerprint=ca.authority.fingerprint)
            with pytest.raises(EnrolmentError, match="not the server that the code is for"):
                await do_enroll(server, code, host)
            assert other.authority.issued_to(BANK) == []

    async def test_impostor_with_a_copied_anchor_is_found_in_the_handshake(
        self, ca: CertificateWorld, host: Credentials, tmp_path: Path
    ) -> None:
        other = CertificateWorld(tmp_path / "other")
        async with enrolment_server(ca, anchor=other) as server:
            with pytest.raises(EnrolmentError, match="not the server that this host trusts"):
                await do_enroll(server, ca.authority.make_code(BANK, now=server.now), host)

    async def test_bank_does_not_pass_for_a_server(self, ca: CertificateWorld, host: Credentials) -> None:
        async with enrolment_server(ca, identity=Identity.bank(7)) as server:
            with pytest.raises(EnrolmentError, match="is bank/7, no server"):
                await do_enroll(server, ca.authority.make_code(BANK, now=server.now), host)

    async def test_revoked_server_gets_no_renewal_to_answer(self, ca: CertificateWorld, host: Credentials) -> None:
        async with enrolment_server(ca) as server:
            await do_enroll(server, ca.authority.make_code(BANK, now=server.now), host)
            before = host.certificate()
            ca.authority.revoke_identity(SERVER, now=server.now)
            ca.tell(host)
            with pytest.raises(EnrolmentError, match="not the server that this host trusts: certificate revoked"):
                await asyncio.to_thread(renew, host, TOOL)
            host.revocations_file.unlink()
            # Without a list nothing is known of it.
            assert (await asyncio.to_thread(renew, host, TOOL)).serial != before.serial

    async def test_nobody_there(self, ca: CertificateWorld, host: Credentials) -> None:
        code = ca.authority.make_code(BANK, now=ca.now)
        with pytest.raises(EnrolmentError, match=r"cannot ask https://127\.0\.0\.1:1:"):
            await asyncio.to_thread(enroll, "https://127.0.0.1:1", code, host, TOOL)

    @pytest.mark.parametrize("is_rspro", [False, True])
    async def test_what_speaks_something_else(self, ca: CertificateWorld, host: Credentials, is_rspro: bool) -> None:
        """Such as the server's own port for RSPRO, which demands a certificate of those who have none yet."""

        async def chat(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 welcome\r\n")
            writer.close()

        tls = TlsContexts(ca.credentials(SERVER, folder="rspro")).server if is_rspro else None
        listener = await asyncio.start_server(chat, "127.0.0.1", 0, ssl=tls)
        port = listener.sockets[0].getsockname()[1]
        code = ca.authority.make_code(BANK, now=ca.now)
        with pytest.raises(EnrolmentError, match=r"127\.0\.0\.1:\d+ (is not asked: |does not answer)") as caught:
            await asyncio.to_thread(enroll, f"https://127.0.0.1:{port}", code, host, TOOL)
        assert "does not speak TLS 1.3" not in str(caught.value)
        assert "9997 by default" in caught.value.hint
        listener.close()
        await listener.wait_closed()

    async def test_path_at_which_there_is_something_else(self, ca: CertificateWorld, host: Credentials) -> None:
        """A server asks for a token there, which nobody has who enrols."""
        code = ca.authority.make_code(BANK, now=ca.now)
        async with running_server(
            ca.directory / "running",
            tls_dir=ca.credentials(SERVER, folder="other").directory,
            rest_open=False,
            plaintext=None,
        ) as service:
            url = f"https://{service.rest_address}/path"
            with pytest.raises(EnrolmentError, match="there is no enrolment at that path") as caught:
                await asyncio.to_thread(enroll, url, code, host, TOOL)
        assert caught.value.status == 401
        assert "token" not in caught.value.hint

    async def test_certificate_that_was_brought_by_hand_is_not_renewed_from_afar(self, ca: CertificateWorld) -> None:
        with pytest.raises(EnrolmentError, match="not got by enrolment"):
            await asyncio.to_thread(renew, ca.credentials(BANK), TOOL)

    async def test_host_without_certificate_cannot_renew(self, host: Credentials) -> None:
        with pytest.raises(KeyFileError):
            await asyncio.to_thread(renew, host, TOOL, url="https://127.0.0.1:1")


class TestRoutes:
    @pytest.mark.parametrize("path", [ANCHOR_PATH, CERTIFICATE_PATH, RENEWAL_PATH])
    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"{}", b'"x"', b'{"code": 1}', b"{" * 5000, b'{"code": "!", "identity": "x", "secret": "y"}'],
    )
    async def test_body_that_is_none_is_malformed(self, ca: CertificateWorld, path: str, body: bytes) -> None:
        async with enrolment_server(ca) as server, httpx2.AsyncClient(verify=False) as http:
            answer = await http.post(server.url + path, content=body)
            assert answer.status_code == 400
            assert answer.json()["error"]["message"]

    async def test_members_are_checked(self, ca: CertificateWorld) -> None:
        good = {"identity": "bank/1", "code": "AAAAAAAA", "secret": "A" * 22, "request": "x"}
        renewal = {"certificate": "x", "request": "x", "signature": "00"}
        der = decode_pem(signing.make_request(signing.make_key(), "x"), "CERTIFICATE REQUEST")[0]
        impossible = encode_pem(der.replace(b"\x02\x01\x00", b"\x02\x01\x07", 1), "CERTIFICATE REQUEST").decode()
        cases = [
            (CERTIFICATE_PATH, good | {"identity": "nobody"}),
            (CERTIFICATE_PATH, good | {"secret": "AA"}),
            (CERTIFICATE_PATH, good | {"request": "x" * 20000}),
            (CERTIFICATE_PATH, good | {"request": "ü"}),
            (CERTIFICATE_PATH, good),
            (RENEWAL_PATH, renewal),
            (RENEWAL_PATH, renewal | {"signature": "no hex"}),
            (CERTIFICATE_PATH, good | {"request": impossible}),
            (RENEWAL_PATH, renewal | {"request": impossible}),
        ]
        async with enrolment_server(ca) as server, httpx2.AsyncClient(verify=False) as http:
            for path, body in cases:
                assert (await http.post(server.url + path, json=body)).status_code == 400

    async def test_trouble_with_the_files_is_no_fault_of_the_caller(
        self, ca: CertificateWorld, host: Credentials
    ) -> None:
        book = ca.directory / "ca" / "ledger.sqlite"
        async with enrolment_server(ca) as server:
            await do_enroll(server, ca.authority.make_code(BANK, now=server.now), host)
            await server.log.next("certificate_issued")
            for _ in range(2):
                code = ca.authority.make_code(BANK, now=server.now)
                book.chmod(0o644)
                for _ in range(FAILURES_ALLOWED + 1):
                    with pytest.raises(EnrolmentError, match="cannot answer now") as caught:
                        await asyncio.to_thread(renew, host, TOOL)
                    assert caught.value.status == 503
                    assert str(book) not in f"{caught.value}{caught.value.hint}"
                with pytest.raises(EnrolmentError, match="cannot answer now"):
                    await do_enroll(server, code, host)
                told = await server.log.next("authority_in_trouble")
                assert told["hint"] == f"run: chmod 600 {book}"
                assert server.log.is_empty()
                book.chmod(0o600)
                await asyncio.to_thread(renew, host, TOOL)
                await server.log.next("certificate_issued")
            # A book that somebody holds, or that is damaged, is another type of error.
            files.write_private(book, b"this is no database, but long enough to be one" * 99)
            with pytest.raises(EnrolmentError, match="cannot answer now"):
                await asyncio.to_thread(renew, host, TOOL)
            assert "backup" in (await server.log.next("authority_in_trouble"))["hint"]
            assert [entry.outcome for entry in server.entries] == ["done"] * 3

    async def test_without_a_code_nothing_is_told(self, ca: CertificateWorld) -> None:
        async with enrolment_server(ca) as server, httpx2.AsyncClient(verify=False) as http:
            answer = await http.post(server.url + ANCHOR_PATH, json={"code": "AAAAAAAA"})
            assert answer.status_code == 403
            assert b"CERTIFICATE" not in answer.content
            for path in (ANCHOR_PATH, CERTIFICATE_PATH, RENEWAL_PATH):
                assert (await http.get(server.url + path)).status_code == 404


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://lab.example:9000", "https://lab.example:9000"),
        ("https://lab.example/", "https://lab.example:9997"),
        ("lab.example:9000", "https://lab.example:9000"),
        ("https://[::1]:9000/behind/proxy/", "https://[::1]:9000/behind/proxy"),
    ],
)
def test_url_of_a_server(url: str, expected: str) -> None:
    assert parse_target(url).url == expected
    assert parse_target(expected) == parse_target(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://lab.example",
        "https://",
        "https://x:0",
        "https://x:99999",
        "https://u@x",
        "https://x?y",
        "https://[x",
    ],
)
def test_other_url_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(EnrolmentError) as caught:
        parse_target(url)
    assert caught.value.hint == "write https://HOST:9997"


class TestNeighbours:
    """Failures of one host behind an address do not keep its neighbours from a certificate."""

    async def fail(self, server: EnrolmentServer, path: str, body: dict[str, str]) -> int:
        """Ask until the address is refused; the status of the last answer."""
        status = 0
        async with httpx2.AsyncClient(verify=False) as http:
            for _ in range(FAILURES_ALLOWED + 1):
                status = (await http.post(server.url + path, json=body)).status_code
        return status

    async def test_good_code_is_good_behind_an_address_that_failed(
        self, ca: CertificateWorld, host: Credentials
    ) -> None:
        async with enrolment_server(ca) as server:
            assert await self.fail(server, ANCHOR_PATH, {"code": "AAAAAAAA"}) == 429
            code = ca.authority.make_code(BANK, now=server.now)
            assert (await do_enroll(server, code, host)).identity == BANK

    async def test_good_certificate_is_renewed_behind_an_address_that_failed(
        self, ca: CertificateWorld, host: Credentials
    ) -> None:
        async with enrolment_server(ca) as server:
            before = await do_enroll(server, ca.authority.make_code(BANK, now=server.now), host)
            assert await self.fail(server, RENEWAL_PATH, {"certificate": "x", "request": "x", "signature": "00"}) == 429
            assert (await asyncio.to_thread(renew, host, TOOL)).serial != before.serial

    async def test_certificate_that_is_shown_too_often_in_vain_has_a_limit_of_its_own(
        self, ca: CertificateWorld, host: Credentials, tmp_path: Path
    ) -> None:
        async with enrolment_server(ca) as server:
            await do_enroll(server, ca.authority.make_code(BANK, now=server.now), host)
            request = signing.make_request(signing.make_key(), "x").decode()
            shown = {"certificate": host.certificate_pem().decode(), "request": request, "signature": "00"}
            assert await self.fail(server, RENEWAL_PATH, shown) == 403
            assert await self.fail(server, RENEWAL_PATH, shown) == 429
            with pytest.raises(EnrolmentError, match="too many failed attempts"):
                await asyncio.to_thread(renew, host, TOOL)
            neighbour = Credentials(tmp_path / "neighbour" / "tls")
            code = ca.authority.make_code(Identity.bank(2), now=server.now)
            assert (await do_enroll(server, code, neighbour)).identity == Identity.bank(2)

    async def test_refused_renewals_count_as_attempts(self, ca: CertificateWorld) -> None:
        async with enrolment_server(ca) as server:
            blanks = {"certificate": "-----BEGIN CERTIFICATE-----" + " " * 16000, "request": "x", "signature": "00"}
            assert await self.fail(server, RENEWAL_PATH, blanks) == 429
            refused = await server.log.next("enrolment_refused")
            assert refused["path"] == RENEWAL_PATH


class TestServerThatDrips:
    """Each byte comes in time for itself; all of them together would take days."""

    @both
    async def test_one_time_limit_holds_for_everything(
        self, ca: CertificateWorld, host: Credentials, tool: Toolkit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(enrol, "TIME_LIMIT_S", 0.1)
        code = ca.authority.make_code(BANK, now=ca.now)
        async with dripping_server(ca) as url:
            with pytest.raises(EnrolmentError, match="did not answer in time") as caught:
                await asyncio.to_thread(enroll, url, code, host, tool)
        assert "HOST:PORT" in caught.value.hint
        assert not host.exist()

    async def test_renewal_has_it_too(
        self, ca: CertificateWorld, host: Credentials, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with enrolment_server(ca) as server:
            await do_enroll(server, ca.authority.make_code(BANK, now=server.now), host)
        before = host.certificate()
        monkeypatch.setattr(enrol, "TIME_LIMIT_S", 0.1)
        async with dripping_server(ca) as url:
            with pytest.raises(EnrolmentError, match="did not answer in time"):
                await asyncio.to_thread(partial(renew, host, TOOL, url=url))
        assert host.certificate() == before
