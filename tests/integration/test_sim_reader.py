# SPDX-License-Identifier: Apache-2.0
"""Software readers: what is theirs alone, and what their cards keep on disk."""

import asyncio
import time
from pathlib import Path

import pytest

from remsim.readers.base import Presence, PresenceEvent
from remsim.readers.errors import CardTransmissionError, ReaderError, ReaderUnavailableError
from remsim.readers.sim.source import SimSource
from remsim.uicc import ProfileError

_NAME = "remsim sim 00"
_WRONG_PIN2 = bytes.fromhex("002000810830303030FFFFFFFF")
_TRIES_OF_PIN2 = bytes.fromhex("0020008100")


def unheard(outcome: bytes | ReaderError) -> None:
    """These cards answer at once."""
    raise AssertionError(outcome)


async def _open(source: SimSource, name: str = _NAME) -> None:
    await source.start()
    await source.reader(name).open()


def _damage_newest(folder: Path, damage: str) -> None:
    newest = max(folder.iterdir(), key=lambda file: int(file.read_bytes().split()[1]))
    whole = newest.read_bytes()
    newest.write_bytes({"cut": whole[:200], "changed": whole.replace(b"tries", b"TRIES", 1), "empty": b""}[damage])


async def test_cards_of_one_source_differ() -> None:
    source = SimSource(slots=12, profile="default")
    assert await source.names() == [f"remsim sim {n:02d}" for n in range(12)]
    identities = [source.reader(name).uicc.identity for name in await source.names()]
    assert len({identity.imsi for identity in identities}) == 12
    assert len({identity.iccid for identity in identities}) == 12


async def test_profiles_can_be_listed_per_slot() -> None:
    source = SimSource(slots=3, profile="iot-modem, default")
    names = [source.reader(name).uicc.profile.name for name in await source.names()]
    assert names == ["iot-modem", "default", "default"]


async def test_card_remembers_over_a_restart_unless_fresh(tmp_path: Path) -> None:
    source = SimSource(state_dir=tmp_path)
    await _open(source)
    assert source.reader(_NAME).submit(_WRONG_PIN2, unheard) == b"\x63\xc2"
    # Nothing is stopped or closed here: the answer above promised that the state is stored.
    again = SimSource(state_dir=tmp_path)
    await _open(again)
    assert again.reader(_NAME).submit(_TRIES_OF_PIN2, unheard) == b"\x63\xc2"
    fresh = SimSource(state_dir=tmp_path, fresh=True)
    await _open(fresh)
    assert fresh.reader(_NAME).submit(_TRIES_OF_PIN2, unheard) == b"\x63\xc3"
    assert fresh.reader(_NAME).submit(_WRONG_PIN2, unheard) == b"\x63\xc2"


async def test_without_a_folder_nothing_is_kept() -> None:
    source = SimSource()
    await _open(source)
    source.reader(_NAME).submit(_WRONG_PIN2, unheard)
    again = SimSource()
    await _open(again)
    assert again.reader(_NAME).submit(_TRIES_OF_PIN2, unheard) == b"\x63\xc3"


async def test_state_files_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cards"
    source = SimSource(state_dir=folder)
    await _open(source)
    await source.reader(_NAME).transmit(_WRONG_PIN2)
    assert sorted(file.name for file in folder.iterdir()) == ["sim-00-a.state", "sim-00-b.state"]
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
async def test_half_written_file_leaves_the_state_before(tmp_path: Path, damage: str) -> None:
    source = SimSource(state_dir=tmp_path)
    await _open(source)
    reader = source.reader(_NAME)
    assert [reader.submit(_WRONG_PIN2, unheard) for _ in range(2)] == [b"\x63\xc2", b"\x63\xc1"]
    _damage_newest(tmp_path, damage)
    again = SimSource(state_dir=tmp_path)
    await _open(again)
    assert again.reader(_NAME).submit(_TRIES_OF_PIN2, unheard) == b"\x63\xc2"
    assert again.reader(_NAME).submit(_WRONG_PIN2, unheard) == b"\x63\xc1"
    last = SimSource(state_dir=tmp_path)
    await _open(last)
    assert last.reader(_NAME).submit(_TRIES_OF_PIN2, unheard) == b"\x63\xc1"


async def test_state_may_shrink(tmp_path: Path) -> None:
    source = SimSource(state_dir=tmp_path)
    await _open(source)
    reader = source.reader(_NAME)
    select, long, gone = "00A4080C067F105F3B4F48", "80DB0080F08181ED" + "00" * 237, "80DB00800181"
    answers = [reader.submit(bytes.fromhex(command), unheard) for command in (select, long, gone, gone, long, gone)]
    assert [answer.hex() for answer in answers if answer is not None] == [
        "9000",
        "9000",
        "9000",
        "6a88",
        "9000",
        "9000",
    ]
    await _open(SimSource(state_dir=tmp_path))


async def test_damaged_state_is_told_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "sim-00-a.state").write_text("{")
    with pytest.raises(ReaderUnavailableError, match=r"sim-00-a\.state") as caught:
        await _open(SimSource(state_dir=tmp_path))
    assert "remove these files" in caught.value.hint
    await _open(SimSource(state_dir=tmp_path, fresh=True))


async def test_state_of_another_profile_is_told(tmp_path: Path) -> None:
    await _open(SimSource(state_dir=tmp_path))
    with pytest.raises(ReaderUnavailableError, match="'default', not 'phone'"):
        await _open(SimSource(state_dir=tmp_path, profile="phone"))


async def test_state_that_cannot_be_stored_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "cards"
    source = SimSource(state_dir=folder)
    await _open(source)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_text("no folder")
    with pytest.raises(CardTransmissionError, match="cannot store"):
        source.reader(_NAME).submit(_WRONG_PIN2, unheard)
    with pytest.raises(ReaderUnavailableError):
        await _open(SimSource(state_dir=folder))
    with pytest.raises(ReaderUnavailableError, match="cannot store"):
        await _open(SimSource(state_dir=folder, fresh=True))


async def test_unplugged_reader_is_unknown_and_comes_back() -> None:
    source = SimSource(slots=2)
    seen: asyncio.Queue[PresenceEvent] = asyncio.Queue()
    source.watch(seen.put_nowait)
    source.unplug_reader(_NAME)
    assert await source.names() == ["remsim sim 01"]
    with pytest.raises(ReaderUnavailableError, match="unplugged"):
        await source.reader(_NAME).open()
    source.plug_reader(_NAME)
    await source.reader(_NAME).open()
    events = [await seen.get() for _ in range(4)]
    assert [(event.reader[-2:], event.presence) for event in events] == [
        ("00", Presence.PRESENT),
        ("01", Presence.PRESENT),
        ("00", Presence.UNKNOWN),
        ("00", Presence.PRESENT),
    ]
    await source.stop()


async def test_unknown_reader_and_profile_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReaderUnavailableError, match="no software reader"):
        SimSource().reader("nobody")
    with pytest.raises(ProfileError, match="no card profile 'nix'"):
        SimSource(profile="nix")
    with pytest.raises(ProfileError, match="cannot read"):
        SimSource(profile=str(tmp_path / "none.toml"))
    assert Presence.PRESENT is SimSource().reader(_NAME).presence


async def test_card_takes_the_time_that_it_is_told() -> None:
    reader = SimSource(card_time_s=0.02).reader(_NAME)
    await reader.open()
    answered = asyncio.get_running_loop().create_future()
    began = time.perf_counter()
    assert reader.submit(bytes.fromhex("00A40004023F00"), answered.set_result) is None
    assert not answered.done()
    assert isinstance(await answered, bytes)
    assert time.perf_counter() - began >= 0.02
    began = time.perf_counter()
    assert await reader.transmit(bytes.fromhex("00A40004023F00"))
    assert time.perf_counter() - began >= 0.02


async def test_slow_card_that_is_powered_off_gives_no_answer() -> None:
    reader = SimSource(card_time_s=0.01).reader(_NAME)
    await reader.open()
    answers: list[object] = []
    reader.submit(bytes.fromhex("00A40004023F00"), answers.append)
    await reader.close()
    await reader.open()
    await reader.transmit(bytes.fromhex("00A40004023F00"))
    assert answers == []
