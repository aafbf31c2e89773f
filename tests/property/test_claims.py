# SPDX-License-Identifier: Apache-2.0
"""Claims to identities, against a model that knows nothing but the rule: any order of claims, answers and losses."""

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from remsim.core.claims import MAX_CHALLENGERS, MOST, WINDOW_S, ClaimRefusal, ClaimVerdict, IdentityClaims
from remsim.core.identity import Identity, Proof

identities = st.sampled_from(["B1", "B2"])
hosts = st.sampled_from(["192.0.2.1", "192.0.2.2"])
proofs = st.sampled_from([None, None, Proof(Identity.bank(1), 1), Proof(Identity.bank(1), 2)])


@dataclass(eq=False)
class Comer:
    """One connection."""

    proof: Proof | None
    host: str


@dataclass
class Place:
    """One identity as the rule has it."""

    holder: Comer | None = None
    waiting: list[Comer] = field(default_factory=list)
    is_closing: bool = False
    successor: Comer | None = None
    #: By certificate, when one took over from the same one: time, and the two hosts.
    seen: dict[Proof, list[tuple[float, frozenset[str]]]] = field(default_factory=dict)


class ClaimsMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.claims: IdentityClaims[str, Comer] = IdentityClaims()
        self.places = {"B1": Place(), "B2": Place()}
        self.now = 0.0
        self.contests = 0

    @rule(seconds=st.sampled_from([0.5, 10.0, 61.0, 301.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds

    @rule(identity=identities, proof=proofs, host=hosts)
    def claim(self, identity: str, proof: Proof | None, host: str) -> None:
        comer, place = Comer(proof, host), self.places[identity]
        verdict = self.claims.claim(identity, comer, proof, host, self.now)
        holder = place.holder
        if holder is None:
            assert verdict is ClaimVerdict.HOLDS
            place.holder = comer
            return
        may_take_over = proof is not None and not place.is_closing and holder.proof in (None, proof)
        if verdict is ClaimVerdict.TAKES_OVER:
            assert may_take_over
            place.is_closing, place.successor = True, comer
            if holder.proof is not None:
                self.take_over(place.seen.setdefault(holder.proof, []), frozenset((holder.host, host)))
        else:
            assert not may_take_over or holder.proof is not None, "no certificate yields to any"
            assert (verdict is ClaimVerdict.TOO_MANY) is (len(place.waiting) >= MAX_CHALLENGERS)
            assert (verdict is ClaimVerdict.PROBE) is (not place.waiting and not place.is_closing)
        if verdict is not ClaimVerdict.TOO_MANY:
            place.waiting.append(comer)

    @rule(identity=identities, count=st.integers(1, MAX_CHALLENGERS + 2))
    def come_in_numbers(self, identity: str, count: int) -> None:
        for _ in range(count):
            self.claim(identity, None, "192.0.2.3")

    @rule(identity=identities, proof=proofs, host=hosts, index=st.integers(0, MAX_CHALLENGERS), is_new=st.booleans())
    def claim_without_waiting(self, identity: str, proof: Proof | None, host: str, index: int, is_new: bool) -> None:
        place = self.places[identity]
        if is_new or index >= len(place.waiting):
            comer = Comer(proof, host)
        else:
            comer = place.waiting.pop(index)
        refused = self.claims.claim_if_free(identity, comer, comer.proof, comer.host, self.now)
        if place.holder is None:
            assert refused is None
            place.holder = comer
            return
        assert refused is not None
        assert refused.who is comer
        assert not self.claims.is_waiting(comer)
        self.check_reason(comer, refused.reason, place.holder)

    def take_over(self, seen: list[tuple[float, frozenset[str]]], between: frozenset[str]) -> None:
        recent = [pair for time, pair in seen if self.now - time < WINDOW_S]
        # Another pair of hosts in between begins anew.
        alike = 0
        for pair in reversed(recent):
            if pair != between:
                break
            alike += 1
        assert alike < MOST
        seen.append((self.now, between))

    @rule(identity=identities)
    def holder_answers(self, identity: str) -> None:
        place = self.places[identity]
        if place.holder is None:
            return
        refused = self.claims.on_alive(place.holder, self.now)
        if place.is_closing:
            assert refused == []
            return
        assert [each.who for each in refused] == place.waiting
        for each in refused:
            self.check_reason(each.who, each.reason, place.holder)
        place.waiting.clear()

    @rule(identity=identities)
    def lose_holder(self, identity: str) -> None:
        place = self.places[identity]
        if place.holder is None:
            return
        succession = self.claims.on_lost(place.holder, self.now)
        place.is_closing, place.successor = False, None
        if not place.waiting:
            assert succession is None
            place.holder = None
            return
        assert succession is not None
        place.holder = place.waiting.pop()
        assert succession.winner is place.holder
        assert [each.who for each in succession.refused] == place.waiting
        for each in succession.refused:
            self.check_reason(each.who, each.reason, place.holder)
        place.waiting.clear()

    @rule(identity=identities)
    def release_holder(self, identity: str) -> None:
        place = self.places[identity]
        if place.holder is None:
            return
        again, waited, successor = self.claims.release(place.holder), place.waiting, place.successor
        self.places[identity] = Place(seen=place.seen)
        assert not any(self.claims.is_waiting(who) for who in waited)
        if successor in waited:
            waited.remove(successor)
            waited.insert(0, successor)
        assert again == tuple(waited)

    @rule(
        identity=identities,
        index=st.integers(0, MAX_CHALLENGERS),
        leaving=st.sampled_from(["lost", "released", "withdrawn"]),
    )
    def challenger_leaves(self, identity: str, index: int, leaving: str) -> None:
        waiting = self.places[identity].waiting
        if index >= len(waiting):
            return
        who = waiting.pop(index)
        if leaving == "lost":
            assert self.claims.on_lost(who, self.now) is None
        elif leaving == "released":
            assert self.claims.release(who) == ()
        else:
            self.claims.withdraw(who)

    def check_reason(self, who: Comer, reason: ClaimRefusal, holder: Comer) -> None:
        is_contest = who.proof is not None and who.proof == holder.proof
        assert (reason is ClaimRefusal.IN_USE) is not is_contest
        self.contests += is_contest

    @invariant()
    def claims_are_what_the_rule_has(self) -> None:
        for identity, place in self.places.items():
            assert self.claims.holder(identity) is place.holder
            assert len(place.waiting) <= MAX_CHALLENGERS + 1
            assert all(self.claims.is_waiting(who) for who in place.waiting)
            if place.holder is not None:
                assert self.claims.challengers(place.holder) == tuple(place.waiting)
                assert not self.claims.is_waiting(place.holder)
        assert self.claims.contest_refusals == self.contests


TestClaims = ClaimsMachine.TestCase
