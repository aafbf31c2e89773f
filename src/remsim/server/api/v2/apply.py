# SPDX-License-Identifier: Apache-2.0
"""A desired state as a whole: what differs, and then making it so, all or nothing."""

from dataclasses import field
from typing import Annotated, Final, Literal

from fastapi import Query, Request
from fastapi.responses import Response

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.redaction import shorten_iccid
from remsim.rest import models
from remsim.server.api.auth import TheActor, TheGrant, require_operator
from remsim.server.api.errors import V2, ApiError, bad_request
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheQuery, TheRuntime, sight_of
from remsim.server.api.v1.views import MaySee
from remsim.server.api.v2.answers import gives, problems, shown
from remsim.server.api.v2.cards import may_see_subject, visible_labels
from remsim.server.api.v2.choosing import number_to_follow, read_card
from remsim.server.api.v2.idempotency import TheKept, once, with_answer
from remsim.server.api.v2.peers import KeyHeader
from remsim.server.api.v2.reading import read_json, read_model
from remsim.server.core.actions import Actor, StoredRequest
from remsim.server.core.card_choice import CardChoice, CardChoiceKind
from remsim.server.core.fleet import FleetError, FleetPlan, plan_fleet
from remsim.server.core.labels import LabelError, parse_subject, shown_subject, slots_of
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.lease_query import LeaseInfo
from remsim.server.query import ServerQuery
from remsim.server.runtime import ServerRuntime
from remsim.server.store.writer import CommitInDoubtError

router = Resource(prefix=V2, tags=["v2 apply"])

_DryRun = Annotated[bool, Query(description="only say what differs")]

_HIDDEN: Final = "is mapped already, to something that the token is not for"

#: Subjects and the labels that they are to have.
_Labels = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Wish:
    """Which card a client slot is to have, and what its mapping is to follow; None: as it is."""

    card: str
    follow: Literal["slot", "card"] | None = None


_Wishes = dict[ClientSlot, _Wish]


@dataclass(frozen=True, slots=True)
class _Follows:
    """What mappings are to follow: new ones by their bank slots, those that stay by their client slots."""

    of_new: dict[BankSlot, str] = field(default_factory=dict)
    of_kept: dict[ClientSlot, str | None] = field(default_factory=dict)


@router.post(
    "/apply",
    responses={**gives(models.ApplyModel), **problems(400, 404, 409, 413, 415, 422)},
    takes=models.FleetOrder,
)
async def apply(
    request: Request,
    runtime: TheRuntime,
    query: TheQuery,
    grant: TheGrant,
    actor: TheActor,
    kept: TheKept,
    dry_run: _DryRun = False,
    key: KeyHeader = None,
) -> Response:
    """Make it so that exactly these mappings and labels are there, as far as the token goes; a part left out stays.

    The answer is the difference. Either all of it is stored, or nothing. Leases are no part of it: what is on loan
    stays so, and cannot be asked for.
    """
    raw = await read_json(request)
    order = read_model(raw, models.FleetOrder)

    async def work(by: Actor) -> Response:
        plan, follows = FleetPlan((), ()), _Follows()
        if order.mappings is not None:
            wanted = _read_mappings(order.mappings)
            plan = _plan_mappings(runtime, grant, wanted)
            follows = _plan_follows(query, plan, wanted)
        labels = {} if order.labels is None else _plan_labels(query, grant, order.labels)
        await _check_scope(request, query, grant, plan, labels)
        answer = shown(models.ApplyModel(dry_run=dry_run, changes=_difference(query, plan, follows, labels)))
        answered = with_answer(by, bytes(answer.body))
        try:
            await runtime.change_mappings(
                plan.ended,
                plan.created,
                answered,
                labels=labels,
                follows=follows.of_new,
                followed=follows.of_kept,
                is_trial=dry_run,
            )
        except LabelError as error:
            raise bad_request(str(error), error.hint) from None
        except CommitInDoubtError as error:
            if answered.request is not None:
                raise
            # Its key is not stored, so nobody could say later what became of it. What is wished for may be asked again.
            raise ApiError(503, "in_doubt", str(error), error.hint) from None
        return answer

    async def again(done: StoredRequest) -> Response:
        # What differed then cannot be found any more.
        return Response(done.request.answer, media_type="application/json")

    return await once(request, grant, actor, key, raw, kept, work, again)


def _read_mappings(given: dict[str, str | models.MappingOrder]) -> _Wishes:
    """What client slots are to have. Raises ApiError."""
    wanted = {
        ClientSlot.parse(client): _Wish(order) if isinstance(order, str) else _Wish(order.card, order.follow)
        for client, order in given.items()
    }
    if len(wanted) < len(given):
        raise bad_request("a client slot is named twice", "write each as C7:0")
    return wanted


def _plan_mappings(runtime: ServerRuntime, grant: Grant, wanted: _Wishes) -> FleetPlan:
    query, may_see = runtime.query, sight_of(grant)
    lent = {info.mapping.client: info for info in runtime.leases.live() if info.mapping is not None}
    current: dict[ClientSlot, BankSlot] = {}
    occupied: set[BankSlot] = set()
    for info in query.mappings(lambda _bank, _client: True):
        if may_see(info.bank, info.client) and info.client not in lent:
            current[info.client] = info.bank
        else:
            occupied.add(info.bank)
    choices = {client: read_card(query, order.card) for client, order in wanted.items()}
    waiting = {info.client: info for info in query.waiting.all(may_see)}
    for client in choices:
        if client not in current and client not in waiting and client not in lent:
            _check_is_free(query, client)

    mapped = set(current.values())

    def candidates(choice: CardChoice) -> list[BankSlot]:
        named = query.slots_of(choice)
        if choice.kind is not CardChoiceKind.SLOT:
            # A locked one is kept by the client that has it.
            named = [slot for slot in named if query.lock(slot) is None or slot in mapped]
        return [slot for slot in named if grant.allows(TokenRole.OPERATOR, bank_id=slot.bank_id)]

    # A mapping that waits for the very card that is wanted waits on.
    kept = {
        client
        for client, info in waiting.items()
        if (choice := choices.get(client)) is not None
        and wanted[client].follow != "slot"
        and choice.kind is CardChoiceKind.ICCID
        and choice.value == info.iccid
        and not candidates(choice)
    }
    kept |= {client for client in lent.keys() & choices if _is_lent(lent[client], candidates(choices[client]), may_see)}
    wants = {client: choice for client, choice in choices.items() if client not in kept}
    try:
        plan = plan_fleet(wants, current, candidates, occupied, runtime.leases.best_first)
    except FleetError as error:
        raise ApiError(409, "conflict", str(error), error.hint) from None
    return FleetPlan((*plan.ended, *sorted(waiting.keys() - kept)), plan.created)


def _plan_follows(query: ServerQuery, plan: FleetPlan, wanted: _Wishes) -> _Follows:
    """What new mappings follow, and those that stay and are to follow something else. Raises ApiError."""
    of_new = {bank: number_to_follow(query, bank) for bank, client in plan.created if wanted[client].follow == "card"}
    of_kept: dict[ClientSlot, str | None] = {}
    for client in wanted.keys() - plan.ended:
        info, goal = query.mapping_of_client(client), wanted[client].follow
        if info is not None and goal is not None:
            follows = number_to_follow(query, info.bank, info) if goal == "card" else None
            if follows != info.follows:
                of_kept[client] = follows
    return _Follows(of_new, of_kept)


def _check_is_free(query: ServerQuery, client: ClientSlot) -> None:
    """A client slot that is named has no mapping beyond those that the token is for. Raises ApiError."""
    if query.mapping_of_client(client) is not None or query.waiting.of_client(client) is not None:
        raise ApiError(409, "conflict", f"{client} {_HIDDEN}", "ask who may delete that mapping")


def _is_lent(lease: LeaseInfo, wanted: list[BankSlot], may_see: MaySee) -> bool:
    """Whether a client slot has one of the wanted cards on loan. Raises ApiError if it has another one."""
    if not may_see(lease.bank, lease.client):
        raise ApiError(409, "conflict", f"{lease.client} {_HIDDEN}", "ask who may delete that mapping")
    if lease.bank not in wanted:
        text = f"{lease.client} has its card on loan, by lease {lease.id}"
        raise ApiError(409, "conflict", text, "leave it out, or release that lease")
    return True


def _plan_labels(query: ServerQuery, grant: Grant, wanted: dict[str, list[str]]) -> _Labels:
    try:
        named = {parse_subject(subject): tuple(sorted(set(labels))) for subject, labels in wanted.items()}
    except LabelError as error:
        raise bad_request(str(error), error.hint) from None
    present = visible_labels(query, grant)
    return {
        subject: named.get(subject, ())
        for subject in sorted({*named, *present})
        if named.get(subject, ()) != present.get(subject, ())
    }


async def _check_scope(request: Request, query: ServerQuery, grant: Grant, plan: FleetPlan, labels: _Labels) -> None:
    """Everything that is changed must be within the token's scope. Raises ApiError."""
    for bank, client in plan.created:
        await require_operator(request, grant, bank_id=bank.bank_id, client_id=client.client_id)
    for subject in labels:
        if not may_see_subject(query, grant, subject):
            await require_operator(request, grant)
        where, client_slot = slots_of(subject)
        if where is not None or client_slot is not None:
            await require_operator(
                request,
                grant,
                bank_id=None if where is None else where.bank_id,
                client_id=None if client_slot is None else client_slot.client_id,
            )


def _difference(query: ServerQuery, plan: FleetPlan, follows: _Follows, labels: _Labels) -> list[models.ChangeModel]:
    after = {client: _mapped(bank, follows.of_new.get(bank)) for bank, client in plan.created}
    changes: list[models.ChangeModel] = []
    for client in sorted({*plan.ended, *after, *follows.of_kept}):
        info = query.mapping_of_client(client)
        before = None if info is None else _mapped(info.bank, info.follows)
        if info is not None and client in follows.of_kept:
            after[client] = _mapped(info.bank, follows.of_kept[client])
        if (waiting := query.waiting.of_client(client)) is not None:
            before = f"waits for iccid:{shorten_iccid(waiting.iccid)}"
        changes.append(models.ChangeModel(kind="mapping", subject=str(client), before=before, after=after.get(client)))
    for subject, names in labels.items():
        before = ", ".join(query.labels(subject)) or None
        changes.append(
            models.ChangeModel(
                kind="labels", subject=shown_subject(subject), before=before, after=", ".join(names) or None
            )
        )
    return changes


def _mapped(bank: BankSlot, follows: str | None) -> str:
    return str(bank) if follows is None else f"{bank}, follows its card"
