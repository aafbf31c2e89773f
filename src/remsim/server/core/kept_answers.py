# SPDX-License-Identifier: Apache-2.0
"""Answers that are kept under the keys of those who asked, to be given again. Without I/O; bounded in number and size.

Of what an earlier run has done, there is no answer, but what the database has of it: see ``StoredRequest``. Time is
that of a clock that does not go back, in seconds.
"""

from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from typing import Final

from remsim.core.fairness import oldest_of_busiest
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.values import dataclass
from remsim.server.core.actions import StoredRequest

#: A caller that did not hear the answer tries again within minutes; a day covers a night.
KEPT_S: Final = 86_400.0
#: So many are kept; beyond that the oldest of the token with most is forgotten. 64 KiB each at most.
MAX_KEPT: Final = 1024
MAX_KEPT_BYTES: Final = 64 * 1024

#: The token's id, the path, and the key.
Name = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was given."""

    status: int
    body: bytes
    media_type: str | None
    #: Empty: it had none.
    etag: str = ""


class KeyUse(Enum):
    """What there is under a key, besides an answer."""

    NEW = "nothing yet: do it"
    IN_PROGRESS = "the same request, which is being done"
    OTHER_REQUEST = "a request with another body"


@dataclass(slots=True)
class _Slot:
    digest: bytes
    since: float
    answer: KeptAnswer | StoredRequest | None = None


class KeptAnswers:
    """The answers that are kept. ``limits`` counts those that were dropped because there were too many."""

    def __init__(
        self, limits: LimitCounts, done: Iterable[StoredRequest] = (), *, wall: float = 0.0, now: float = 0.0
    ) -> None:
        """``done`` is what earlier runs have done, oldest first. It is ``wall`` (since 1970-01-01 UTC), and ``now``."""
        self._limits = limits
        # The oldest comes first.
        self._slots: OrderedDict[Name, _Slot] = OrderedDict()
        for each in done:
            name = each.request.name
            self._slots.pop(name, None)
            self._slots[name] = _Slot(each.request.digest, now - max(0.0, wall - each.done_at), each)
        while len(self._slots) > MAX_KEPT:
            self._slots.popitem(last=False)

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._slots)

    def begin(self, name: Name, digest: bytes, now: float) -> KeptAnswer | StoredRequest | KeyUse:
        """A request comes; ``digest`` is that of its body. NEW: do it, and call ``finish`` or ``forget``."""
        while self._slots and next(iter(self._slots.values())).since < now - KEPT_S:
            self._slots.popitem(last=False)
        slot = self._slots.get(name)
        if slot is None:
            self._slots[name] = _Slot(digest, now)
            if len(self._slots) > MAX_KEPT:
                del self._slots[oldest_of_busiest((name[0], name) for name in self._slots)]
                self._limits.reached(LimitName.KEPT_ANSWERS)
            return KeyUse.NEW
        if slot.digest != digest:
            return KeyUse.OTHER_REQUEST
        return KeyUse.IN_PROGRESS if slot.answer is None else slot.answer

    def finish(self, name: Name, answer: KeptAnswer) -> None:
        """It was done. An answer that is too long is not kept: then the key is free again."""
        slot = self._slots.get(name)
        if slot is None:
            return
        if len(answer.body) > MAX_KEPT_BYTES:
            self.forget(name)
        else:
            slot.answer = answer

    def settle(self, done: StoredRequest, is_done: bool) -> None:
        """It was in progress as long as nobody knew what became of it: now that is known."""
        name = done.request.name
        slot = self._slots.get(name)
        if slot is None or slot.digest != done.request.digest or slot.answer is not None:
            return
        if is_done:
            slot.answer = done
        else:
            self.forget(name)

    def forget(self, name: Name) -> None:
        """It was not done."""
        self._slots.pop(name, None)
