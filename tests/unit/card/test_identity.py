# SPDX-License-Identifier: Apache-2.0
"""What a card says of itself without a PIN: what is asked, what the answers mean, and that it always ends."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.card.identity import CardIdentity, alpha_text, decode_eid, decode_imsi, decode_provider, read_identity
from remsim.card.tpdu import is_well_formed
from remsim.readers.sim.profiles import load_profile
from remsim.redaction import is_pin_command
from remsim.uicc import Uicc

ICCID_FILE = "980001010000000010f8"
IMSI_FILE = "080910101032547698"
SPN_FILE = "0152656d73696dffffffffffffffffffff"
EID = "89049032000000000000000000000018"
#: A card of 2G whose number alone can be read.
NUMBER = {"a0a40000023f00": "9f17", "a0a40000022fe2": "9f0f", "a0b000000a": ICCID_FILE + "9000"}
UICC = {"00a40004023f00": "612f", "00a40004022fe2": "611e", "00b000000a": ICCID_FILE + "9000"}


def read(answer: Callable[[bytes], bytes]) -> tuple[CardIdentity, list[str]]:
    """What is found with a card that answers so, and what it was asked."""
    found = CardIdentity()
    reading = read_identity(found)
    tpdu = next(reading)
    asked: list[str] = []
    while True:
        asked.append(tpdu.hex())
        assert is_well_formed(tpdu)
        assert not is_pin_command(tpdu)
        try:
            tpdu = reading.send(answer(tpdu))
        except StopIteration:
            return found, asked


def scripted(answers: dict[str, str]) -> Callable[[bytes], bytes]:
    """Answers in hex by commands in hex, each once, the last one for ever; anything else is refused."""
    return lambda tpdu: bytes.fromhex(answers.get(tpdu.hex(), "6a82"))


@pytest.mark.parametrize("name", ["default", "phone", "iot-modem"])
def test_software_cards_tell_what_their_profile_says(name: str) -> None:
    identity = load_profile(name).identity
    found, _ = read(Uicc(load_profile(name)).transmit)
    assert found == CardIdentity(identity.iccid_digits, identity.imsi, "remsim test")


def test_old_sim_is_asked_in_its_class() -> None:
    files = {"a0a40000027f20": "9f17", "a0a40000026f07": "9f0f", "a0a40000026f46": "9f0f"}
    found, asked = read(scripted(NUMBER | files | {"a0b0000009": IMSI_FILE + "9000", "a0b0000011": SPN_FILE + "9000"}))
    assert (found.imsi, found.service_provider) == ("001010123456789", "Remsim")
    assert "00a4040407a0000000871002" in asked


def test_card_that_asks_for_a_pin_keeps_its_imsi() -> None:
    files = {"00a4040407a0000000871002": "6130", "00a40004026f07": "611e", "00a40004026f46": "611e"}
    answers = UICC | files | {"00b0000009": "6982", "00b0000011": SPN_FILE + "9000"}
    found, asked = read(scripted(answers))
    assert (found.iccid, found.imsi, found.service_provider) == ("8900101000000000018", None, "Remsim")
    # It is not asked again, in no other class.
    assert asked.count("00b0000009") == 1
    assert "a0a40000027f20" not in asked


def test_number_of_an_euicc_is_read() -> None:
    isd_r = {"00a4040010a0000005591010ffffffff8900000100": "6121"}
    consumer = isd_r | {"80e2910006bf3e035c015a": "6115", "80c0000015": f"bf3e125a10{EID}9000"}
    machine = {"00a4040010a0000005591010ffffffff8900000200": "6121", "00ca005a12": f"5a10{EID}9000"}
    for answers in (consumer, machine):
        found, _ = read(scripted(UICC | answers))
        assert found.eid == EID


@pytest.mark.parametrize("answer", ["6a88", "bf3e009000", f"bf3e115a10{EID}9000"])
def test_application_that_does_not_tell_the_number_leaves_it_to_the_next(answer: str) -> None:
    isd_r = {"00a4040010a0000005591010ffffffff8900000100": "6121", "80e2910006bf3e035c015a": answer}
    ecasd = {"00a4040010a0000005591010ffffffff8900000200": "6121"}
    found, asked = read(scripted(UICC | isd_r | ecasd | {"00ca005a12": f"5a10{EID}9000"}))
    assert found.eid == EID
    assert asked.index("80e2910006bf3e035c015a") < asked.index("00ca005a12")
    found, _ = read(scripted(UICC | isd_r | ecasd | {"00ca005a12": "6a88"}))
    assert found.eid is None


def test_file_that_is_not_there_is_not_read() -> None:
    files = {"00a4040407a0000000871002": "6130", "00a40004026f07": "611e", "00b0000009": IMSI_FILE + "9000"}
    found, asked = read(scripted(UICC | files))
    assert (found.imsi, found.service_provider) == ("001010123456789", None)
    assert "00a40004026f46" in asked
    assert "00b0000011" not in asked


def test_card_without_a_number_is_asked_nothing_else() -> None:
    found, asked = read(scripted({}))
    assert found == CardIdentity()
    assert asked == ["00a40004023f00", "a0a40000023f00"]


@pytest.mark.parametrize(
    ("raw", "imsi"),
    [
        (IMSI_FILE, "001010123456789"),
        ("080110101032547608", "001010123456780"),
        ("0801101010325476f8", "00101012345678"),
        ("07091010103254f6ff", "001010123456"),
        ("", None),
        ("09" + "09" * 8, None),
        ("08" + "ff" * 8, None),
        ("0809", None),
        ("0109", None),
    ],
)
def test_imsi_is_what_its_file_says(raw: str, imsi: str | None) -> None:
    assert decode_imsi(bytes.fromhex(raw)) == imsi


def test_names_are_read_in_both_alphabets() -> None:
    assert decode_provider(bytes.fromhex(SPN_FILE)) == "Remsim"
    assert decode_provider(bytes.fromhex("00" + "80" + "Čau".encode("utf-16-be").hex() + "ffff")) == "Čau"
    assert decode_provider(b"") is None
    assert decode_provider(b"\x01" + b"\xff" * 16) is None
    assert alpha_text(b"a\xffb") == "a�b"


@pytest.mark.parametrize("raw", ["", "5a", f"5a0f{EID[:30]}", f"5b10{EID}", f"bf3e115a10{EID}", "5a10" + "fa" * 16])
def test_what_is_no_eid_is_none(raw: str) -> None:
    assert decode_eid(bytes.fromhex(raw)) is None


@given(answers=st.lists(st.binary(min_size=2, max_size=258), max_size=50))
def test_whatever_a_card_answers_there_is_an_end(answers: list[bytes]) -> None:
    waiting = iter(answers)
    found, asked = read(lambda _tpdu: next(waiting, b"\x90\x00"))
    assert len(asked) < 600
    assert found.imsi is None or found.imsi.isdecimal()


@given(status=st.integers(0, 0xFFFF), data=st.binary(max_size=256))
def test_card_that_always_answers_the_same_is_left_in_time(status: int, data: bytes) -> None:
    _, asked = read(lambda _tpdu: data + status.to_bytes(2))
    assert len(asked) < 5000
