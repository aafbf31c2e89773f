# SPDX-License-Identifier: Apache-2.0
"""Software readers: what is theirs alone, and what their cards keep on disk."""

import asyncio
from pathlib import Path

import pytest

from remsim.readers.base import Presence, PresenceEvent
from remsim.readers.errors import CardTransmissionError, ReaderUnavailableError
from remsim.readers.sim import SimSource
from remsim.uicc import ProfileError

_NAME = "remsim sim 00"
_WRONG_PIN2 = bytes.fromhex("002000810830303030FFFFFFFF")
_TRIES_OF_PIN2 = bytes.fromhex("0020008100")


async def _open(source: SimSource, name: str = _NAME) -> None:
    await source.start()
    await source.reader(name).open()


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
    assert source.reader(_NAME).transmit_now(_WRONG_PIN2) == b"\x63\xc2"
    # Nothing is stopped or closed here: the answer above promised that the state is stored.
    again = SimSource(state_dir=tmp_path)
    await _open(again)
    assert again.reader(_NAME).transmit_now(_TRIES_OF_PIN2) == b"\x63\xc2"
    fresh = SimSource(state_dir=tmp_path, fresh=True)
    await _open(fresh)
    assert fresh.reader(_NAME).transmit_now(_TRIES_OF_PIN2) == b"\x63\xc3"
    assert fresh.reader(_NAME).transmit_now(_WRONG_PIN2) == b"\x63\xc2"


async def test_without_a_folder_nothing_is_kept() -> None:
    source = SimSource()
    await _open(source)
    source.reader(_NAME).transmit_now(_WRONG_PIN2)
    again = SimSource()
    await _open(again)
    assert again.reader(_NAME).transmit_now(_TRIES_OF_PIN2) == b"\x63\xc3"


async def test_state_file_is_private_and_whole(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cards"
    source = SimSource(state_dir=folder)
    await _open(source)
    await source.reader(_NAME).transmit(_WRONG_PIN2)
    (file,) = folder.iterdir()
    assert file.name == "sim-00.json"
    assert file.stat().st_mode & 0o777 == 0o600


async def test_damaged_state_is_told_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "sim-00.json").write_text("{")
    with pytest.raises(ReaderUnavailableError, match=r"sim-00\.json") as caught:
        await _open(SimSource(state_dir=tmp_path))
    assert "remove the file" in caught.value.hint
    await _open(SimSource(state_dir=tmp_path, fresh=True))


async def test_state_that_cannot_be_stored_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "cards"
    source = SimSource(state_dir=folder)
    await _open(source)
    (folder / "sim-00.json").unlink()
    folder.rmdir()
    folder.write_text("no folder")
    with pytest.raises(CardTransmissionError, match="cannot store"):
        source.reader(_NAME).transmit_now(_WRONG_PIN2)


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
