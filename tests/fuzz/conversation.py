# SPDX-License-Identifier: Apache-2.0
"""Conversation number n of a seed: always the same bytes, whatever ran before it or runs beside it."""

import json
from random import Random
from typing import Final

from tests.fuzz import cast, corpus, mutation
from tests.fuzz.script import Part, Script, Step

#: How often which part is played. A bank has one server at a time, so those conversations run one after the other.
_WEIGHTS: Final = {
    Part.CLIENT_OF_SERVER: 24,
    Part.BANKD_OF_SERVER: 22,
    Part.CLIENT_OF_BANKD: 40,
    Part.SERVER_OF_BANKD: 6,
    Part.CALLER_OF_REST: 8,
}
_REST: Final = "/api/backend/v1"
_SOUND: Final = 0.03  # so many are not damaged at all
_CANARY: Final = 0.03  # so many claim to be the canary
_ABILITIES: Final = 0.4


def stage_of(number: int) -> int:
    """On which stage the conversation is held; there is one at a time on each."""
    return number % cast.STAGES


def conversation(seed: int, number: int) -> Script:
    """The script with that number."""
    rng = Random(f"{seed}/{number}")
    part = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    if part is Part.CALLER_OF_REST:
        steps = _request(stage_of(number), rng)
        raw = steps[0] or b""
        for _ in range(rng.randint(0, 3)):
            raw = mutation.damage_text(raw, rng)
        return Script(part, (raw, None), mutation.ending(rng), "REST")
    draw = rng.random()
    roles = cast.of_stage(stage_of(number))
    if draw < _CANARY:
        roles = cast.of_canary()
    elif part is Part.BANKD_OF_SERVER or (part is Part.CLIENT_OF_SERVER and draw < 0.5):
        roles = cast.with_own_bank(stage_of(number))
    is_ours = rng.random() < _ABILITIES
    play = _pick(part, rng)
    steps = play.cast(roles, names_abilities=is_ours)
    if rng.random() >= _SOUND:
        steps = mutation.mutate(steps, lambda: _pick(part, rng).cast(roles, names_abilities=is_ours), rng)
    return Script(part, tuple(steps), mutation.ending(rng), play.origin)


def _pick(part: Part, rng: Random) -> corpus.Play:
    return rng.choice(rng.choice(corpus.plays()[part]))


def _request(stage: int, rng: Random) -> list[Step]:
    """One HTTP request. Nothing here, even damaged, may be an order that ends the canary's mapping."""
    roles = cast.with_own_bank(stage)
    document: object = {
        "bank": {"bankId": roles.bank, "slotNr": rng.choice((1, 2, 1024, -1, 65537, "1", None))},
        "client": {"clientId": roles.client.client_id, "slotNr": rng.choice((2, 3, 1.0, 70000, [], {}))},
    }
    body = rng.choice((json.dumps(document), "{", "[]", '"x"', "[" * 5000, "{}", "", "\0", "1e999")).encode()
    path = rng.choice(
        ("/clients", "/banks", "/slotmaps", "/restart-counter", f"/banks/{roles.bank}", "/clients/0:0", "/")
    )
    is_post = rng.random() < 0.4
    head = f"{'POST' if is_post else 'GET'} {_REST}{'/slotmaps' if is_post else path} HTTP/1.1\r\nHost: x\r\n"
    if is_post:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return [head.encode() + b"\r\n" + (body if is_post else b"")]
