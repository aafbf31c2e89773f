# SPDX-License-Identifier: Apache-2.0
"""Keeps what the coordinator decides. One writer, in the order in which things were decided.

Decisions that wait together share a commit; their callers hear of it after the commit, never before. Notes are
collected, the newest of each kind and subject, and written a moment later in small portions, so that a thousand
connecting clients do not hold up one new mapping.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from remsim.core.errors import RemsimError
from remsim.core.values import dataclass
from remsim.logs import Logger
from remsim.server.core.actions import (
    Decision,
    Note,
    NoteBank,
    NoteCard,
    NoteClient,
    NoteOutcome,
    NoteReleased,
    NoteRemoved,
    StoredAnnouncement,
    StoredRequest,
    StoredState,
)
from remsim.server.core.event_feed import EventDraft
from remsim.server.core.tokens import StoredToken
from remsim.server.store import announcements, audit, database, requests, sql, tokens
from remsim.server.store.known_tokens import KnownTokens
from remsim.server.store.session import DoubtfulCommitError, TakenOverError, Work, is_of_one, sessions

#: Notes are written this long after the first of them.
NOTE_DELAY_S: Final = 0.5
#: So many notes in one commit: a decision never waits for more.
NOTES_PER_COMMIT: Final = 200
#: So many decisions in one commit.
DECISIONS_PER_COMMIT: Final = 100
#: For what is done at the start, by a server that nobody waits for yet.
OPEN_DEADLINE_S: Final = 60.0
#: After the database took nothing, it is tried again so much later, whether or not there is anything to store.
RETRY_S: Final = 5.0
#: What is older than it is kept is dropped at the start, and as often while the server runs.
FORGET_INTERVAL_S: Final = 86400.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What is to be committed: a decision with the entry that tells of it, or an entry alone."""

    decision: Decision | None
    done: asyncio.Future[int] | None = None
    entry: audit.Entry | None = None


#: Of each decision that was committed: the ids of its mappings, its time, and the number of its announcement.
_Results = list[tuple[tuple[int, ...], float, int | None, StoredRequest | None]]

T = TypeVar("T")


_HINT: Final = "see the server's log"


class StoreError(RemsimError):
    """The database did not take a decision."""


class CommitInDoubtError(StoreError):
    """The database was lost during a commit, which may have taken place: that is found out when it is back."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="look whether it is so before you ask again, or ask again with the same key")


class StoreListener(Protocol):
    """Who hears what became of decisions. Called in the loop, in the order of the decisions."""

    def to_tell(self, decisions: Sequence[tuple[Decision, float]]) -> Sequence[tuple[EventDraft, ...]]:
        """The events that are kept with each of these, which are about to be committed together at their times."""
        ...

    def on_stored(
        self, decision: Decision, mapping_ids: tuple[int, ...], created_at: float, announcement: int | None
    ) -> None:
        """It is committed; new mappings have these ids, in their order, and this time.

        ``announcement`` is the number under which its events are kept until they are said to be told; None: no events.
        """
        ...

    def on_store_failed(self, decision: Decision) -> None:
        """It is not stored."""
        ...


class Store:
    """The server's memory. ``wall`` gives seconds since 1970-01-01 UTC."""

    def __init__(self, engine: AsyncEngine, *, log: Logger, wall: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._log = log
        self._wall = wall
        self._writer, self._reader = sessions(engine, self._is_ours, log=log)
        self._starts: int | None = None
        # Decisions whose commit may have taken place, and its number: those who wait for them were told of a failure.
        self._doubtful: tuple[list[_Waiting], _Results, int] | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self._is_retry_due = False
        self._decisions: list[_Waiting] = []
        self._notes: dict[object, tuple[Note, float]] = {}
        self._wake = asyncio.Event()
        self._notes_timer: asyncio.TimerHandle | None = None
        self._are_notes_due = False
        self._forget_timer: asyncio.TimerHandle | None = None
        self._is_forgetting_due = False
        self._is_closing = False
        self._last_announcement = 0
        self._last_request = 0
        self._known_tokens = KnownTokens()
        #: Hears what became of a request whose commit was in doubt: whether it was done.
        self.on_settled: Callable[[StoredRequest, bool], None] = lambda _done, _is_done: None
        #: Whether the last attempt to write succeeded.
        self.is_healthy = True

    @classmethod
    def at(cls, url: str, *, log: Logger) -> "Store":
        """The store in the database at ``url``. Raises StartError."""
        return cls(database.open_engine(url), log=log)

    @property
    def files(self) -> tuple[Path, ...]:
        """The file of the database, if it is one."""
        return database.files_of(self._engine)

    async def open(self) -> StoredState:
        """Open the database, count one more start, and return what is stored. Raises StartError."""
        await self._writer.open()
        try:
            await self._writer.run(self._begin, deadline_s=OPEN_DEADLINE_S)
            memory = await self._writer.run(self._load, deadline_s=OPEN_DEADLINE_S)
            self._last_request = await self._writer.run(requests.read_last_number, deadline_s=OPEN_DEADLINE_S)
        except SQLAlchemyError as error:
            raise database.unusable(self._engine, error) from error
        self._set_forget_timer()
        self._starts = memory.restart_counter
        self._last_announcement = max((each.number for each in memory.announcements), default=0)
        for path in self.files:
            self._known_tokens.watch(path)
        return memory

    async def _begin(self, connection: AsyncConnection) -> None:
        await sql.count_start(connection)
        await self._drop_old(connection)

    async def _load(self, connection: AsyncConnection) -> StoredState:
        return await sql.load_memory(connection, self._wall())

    async def _is_ours(self, connection: AsyncConnection) -> bool:
        """Whether no server was started with the database since this one was."""
        return self._starts is None or await sql.read_starts(connection) == self._starts

    # Called by the service

    def submit(
        self, decision: Decision | None, done: asyncio.Future[int] | None = None, entry: audit.Entry | None = None
    ) -> None:
        """Store a decision, and ``entry`` with it; without a decision, ``entry`` alone.

        ``done`` gets the id of the first new mapping (else 0) or a StoreError.
        """
        self._decisions.append(_Waiting(decision, done, entry))
        self._wake.set()

    def record(self, entry: audit.Entry, done: asyncio.Future[int] | None = None) -> None:
        """Store an entry of the audit log that tells of no decision. ``done`` as for ``submit``."""
        self.submit(None, done, entry)

    def note(self, note: Note) -> None:
        """Store a note when convenient, that of a bank's new address now; a newer one about the same replaces it."""
        self._notes[_subject(note)] = (note, self._wall())
        if isinstance(note, NoteBank) and note.has_moved:
            self._on_notes_due()
        elif self._notes_timer is None and not self._are_notes_due:
            self._notes_timer = asyncio.get_running_loop().call_later(NOTE_DELAY_S, self._on_notes_due)

    async def run(self, listener: StoreListener) -> None:
        """Write until ``finish``. Runs once, as a task of its own. Raises TakenOverError."""
        try:
            await self._run(listener)
        except TakenOverError:
            self._give_up(listener)
            raise

    async def _run(self, listener: StoreListener) -> None:
        while True:
            while self._decisions or self._are_notes_due or self._is_forgetting_due or self._is_retry_due:
                if self._is_closing and not self.is_healthy:
                    # The end must not wait for a database that takes nothing.
                    self._give_up(listener)
                    return
                elif self._decisions:
                    await self._write_decisions(listener)
                elif self._is_retry_due:
                    await self._retry(listener)
                elif self._are_notes_due:
                    await self._write_notes()
                else:
                    await self._forget()
            if self._is_closing:
                return
            await self._wake.wait()
            self._wake.clear()

    def _give_up(self, listener: StoreListener) -> None:
        batch, self._decisions = self._decisions, []
        if batch:
            self._fail(listener, batch, "the database took nothing before")
        if self._notes:
            self._log.error("notes_not_stored", count=len(self._notes), error="the database took nothing before")

    def finish(self) -> None:
        """Let ``run`` write what it has and return."""
        self._is_closing = True
        self._on_notes_due()

    async def close(self) -> None:
        """Close the database."""
        for timer in (self._notes_timer, self._forget_timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        self._known_tokens.close()
        await self._reader.close()
        await self._writer.close()
        await self._engine.dispose()

    # Reading, next to the writer

    async def find_token(self, token_id: str) -> StoredToken | None:
        """The record of a token, as it is at this moment. Raises StoreError."""
        at = self._known_tokens.now()
        if (known := self._known_tokens.get(token_id, at)) is not None:
            return known
        found = await self._read(partial(tokens.find_token, token_id=token_id))
        if found is not None:
            self._known_tokens.keep(found, at)
        return found

    async def read_tokens(self) -> Iterable[StoredToken]:
        """All tokens, oldest first. Raises StoreError."""
        return await self._read(tokens.read_tokens)

    async def has_tokens(self) -> bool:
        """Whether any token was ever made. Raises StoreError."""
        return await self._read(tokens.has_tokens)

    async def read_audit(self, *, after: int, limit: int) -> Iterable[audit.StoredEntry]:
        """The next entries of the audit log, with all that was handed over before the call. Raises StoreError."""
        await self.written()
        return await self._read(partial(audit.read_entries, after=after, limit=limit))

    async def read_audit_targets(self, actions: Collection[str]) -> set[tuple[str, str]]:
        """Action and target of all entries of the audit log with one of these actions. Raises StoreError."""
        # At the start: it goes through the whole log, which may have millions of entries.
        return await self._read(partial(audit.read_targets, actions=actions), deadline_s=OPEN_DEADLINE_S)

    async def written(self) -> None:
        """Return when everything that was handed over so far is written, or has failed. Raises StoreError."""
        if not self._is_closing:
            done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._decisions.append(_Waiting(None, done))
            self._wake.set()
            await done

    async def _read(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        try:
            return await self._reader.run(work, deadline_s=deadline_s)
        except SQLAlchemyError as error:
            self._log.error("not_read", error=_text_of(error))
            raise StoreError("the database cannot be read", hint="see the server's log") from None

    # The writer

    def _on_notes_due(self) -> None:
        if self._notes_timer is not None:
            self._notes_timer.cancel()
            self._notes_timer = None
        self._are_notes_due = bool(self._notes)
        self._wake.set()

    async def _write_decisions(self, listener: StoreListener) -> None:
        batch = self._decisions[:DECISIONS_PER_COMMIT]
        del self._decisions[: len(batch)]
        error = await self._try(listener, batch)
        if error is None:
            return
        if is_of_one(error) and len(batch) > 1:
            # One of them spoils the commit of all, so each gets a commit of its own.
            for at, one in enumerate(batch):
                error = await self._try(listener, [one])
                if error is not None and not is_of_one(error):
                    batch = batch[at:]
                    break
                if error is not None:
                    self._fail(listener, [one], _text_of(error))
            else:
                return
        if not is_of_one(error):
            # It is the database: locked, full, gone. What waits behind them would wait as long, and in vain, too.
            batch = batch + self._decisions
            self._decisions.clear()
        self._fail(listener, batch, _text_of(error))

    async def _try(self, listener: StoreListener, batch: list[_Waiting]) -> SQLAlchemyError | None:
        results: _Results = []
        try:
            await self._settle(listener)
            await self._commit(listener, batch, results)
        except TakenOverError as error:
            self._fail(listener, batch, str(error))
            raise
        except DoubtfulCommitError as error:
            # Nobody is told yet what became of the decisions; who waits is told that they failed.
            self._doubtful = [replace(one, done=None) for one in batch], results, error.number
            self._unhealthy()
            self._log.error("commit_in_doubt", count=len(batch), error=_text_of(error))
            _answer_failure(batch, CommitInDoubtError("it is not known yet whether the database took the change"))
            return None
        except SQLAlchemyError as error:
            return error
        self._healthy()
        self._stored(listener, batch, results)
        return None

    def _stored(self, listener: StoreListener, batch: list[_Waiting], results: _Results) -> None:
        for one, (mapping_ids, created_at, announcement, _) in zip(batch, results, strict=True):
            if one.decision is not None:
                listener.on_stored(one.decision, mapping_ids, created_at, announcement)
            if one.done is not None and not one.done.done():
                one.done.set_result(mapping_ids[0] if mapping_ids else 0)

    async def _settle(self, listener: StoreListener) -> None:
        """Find out what became of a commit in doubt; nothing is written before. Raises SQLAlchemyError."""
        if self._doubtful is None:
            return
        batch, results, number = self._doubtful
        is_committed = await self._writer.is_committed(number)
        self._doubtful = None
        for *_, done in results:
            if done is not None:
                self.on_settled(done, is_committed)
        if is_committed:
            self._stored(listener, batch, results)
        else:
            self._fail(listener, batch, "the connection to the database was lost before the commit")

    async def _commit(self, listener: StoreListener, batch: list[_Waiting], results: _Results) -> None:
        walls = [self._wall() for _ in batch]
        kept = self._announcements(listener, batch, walls)

        async def write(connection: AsyncConnection) -> None:
            results.clear()
            for one, wall, announcement in zip(batch, walls, kept, strict=True):
                numbers: tuple[int, ...] = ()
                if one.decision is not None:
                    numbers = await sql.write_decision(connection, one.decision, wall)
                if one.entry is not None:
                    await audit.write_entries(connection, [one.entry], wall)
                done: StoredRequest | None = None
                if (request := requests.request_of(one.entry)) is not None:
                    self._last_request += 1
                    done = StoredRequest(self._last_request, request, wall, requests.made_by(one.decision))
                    await requests.write_request(connection, done)
                results.append((numbers, wall, None if announcement is None else announcement.number, done))
            await announcements.write_announcements(connection, [each for each in kept if each is not None])

        await self._writer.run(write)

    def _announcements(
        self, listener: StoreListener, batch: list[_Waiting], walls: list[float]
    ) -> list[StoredAnnouncement | None]:
        """What is kept of each of a batch, to be told even if this process ends right behind the commit."""
        kept: list[StoredAnnouncement | None] = [None] * len(batch)
        decided = [(at, one.decision, walls[at]) for at, one in enumerate(batch) if one.decision is not None]
        told = listener.to_tell([(decision, wall) for _, decision, wall in decided])
        for (at, _, _), events in zip(decided, told, strict=True):
            if events:
                self._last_announcement += 1
                kept[at] = StoredAnnouncement(self._last_announcement, events)
        return kept

    def _fail(self, listener: StoreListener, batch: Sequence[_Waiting], error: str) -> None:
        self._unhealthy()
        kinds = Counter("audit" if one.decision is None else type(one.decision).__name__ for one in batch)
        what = ",".join(sorted(kinds))
        self._log.error("not_stored", decision=what, count=len(batch), error=error)
        for one in batch:
            if one.decision is not None:
                listener.on_store_failed(one.decision)
        _answer_failure(batch)

    async def _write_notes(self) -> None:
        keys = list(self._notes)[:NOTES_PER_COMMIT]
        notes = [self._notes.pop(key) for key in keys]
        try:
            await self._writer.run(partial(sql.write_notes, notes=notes))
            self._healthy()
        except SQLAlchemyError as error:
            self._unhealthy()
            self._log.error("notes_not_stored", count=len(notes), error=_text_of(error))
            if not is_of_one(error):
                # They are still true when the database is back, but for those that came meanwhile.
                self._notes = dict(zip(keys, notes, strict=True)) | self._notes
                self._are_notes_due = False
                return
        self._are_notes_due = bool(self._notes)

    # A database that took nothing

    def _healthy(self) -> None:
        self.is_healthy = True
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None

    def _unhealthy(self) -> None:
        self.is_healthy = False
        if self._retry_timer is None:
            self._retry_timer = asyncio.get_running_loop().call_later(RETRY_S, self._on_retry_due)

    def _on_retry_due(self) -> None:
        self._retry_timer = None
        self._is_retry_due = True
        self._wake.set()

    async def _retry(self, listener: StoreListener) -> None:
        """See whether the database takes anything again: what was in doubt is settled, and notes are written then."""
        self._is_retry_due = False
        try:
            await self._settle(listener)
            await self._writer.run(sql.touch)
        except SQLAlchemyError:
            self._unhealthy()
            return
        self._healthy()
        self._on_notes_due()

    # What is too old

    def _set_forget_timer(self) -> None:
        self._forget_timer = asyncio.get_running_loop().call_later(FORGET_INTERVAL_S, self._on_forgetting_due)

    def _on_forgetting_due(self) -> None:
        self._is_forgetting_due = True
        self._wake.set()

    async def _forget(self) -> None:
        self._is_forgetting_due = False
        self._set_forget_timer()
        try:
            await self._writer.run(self._drop_old)
        except SQLAlchemyError as error:
            self._log.error("not_forgotten", error=_text_of(error))

    async def _drop_old(self, connection: AsyncConnection) -> None:
        wall = self._wall()
        await sql.forget_history(connection, wall)
        await audit.forget_entries(connection, wall - sql.HISTORY_S)
        await requests.forget_requests(connection, wall)


def _text_of(error: SQLAlchemyError) -> str:
    return str(error.args[0] if error.args else "")


def _answer_failure(batch: Sequence[_Waiting], error: StoreError | None = None) -> None:
    failure = StoreError("the database did not take the change", hint=_HINT) if error is None else error
    for one in batch:
        if one.done is not None and not one.done.done():
            one.done.set_exception(failure)


def _subject(note: Note) -> object:
    """What a note is about: a newer one about the same makes an older one obsolete."""
    match note:
        case NoteOutcome() | NoteRemoved() | NoteReleased():
            return type(note), note.mapping_id
        case NoteBank():
            return type(note), note.bank_id
        case NoteCard():
            return type(note), note.bank
        case NoteClient():
            return type(note), note.client
