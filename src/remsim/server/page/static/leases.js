// SPDX-License-Identifier: Apache-2.0
// Cards on loan: take, renew, release, in the view of all leases and in those of slots and clients. Their state is kept
// up to date by the stream.
"use strict";
(() => {
  const DURATION = "[0-9]{1,6}(s|m|h|d)";
  const HINT = "A number with s, m, h or d.";

  async function take(pool, client, time, wait, priority = 0) {
    const order = { pool, client: client.toUpperCase(), for: time, priority, ...(wait ? { wait } : {}) };
    const made = (await remsim.order("POST", "/leases?timeout=300ms", order)).body;
    if (made.mapping) remsim.toast(`${made.client} has ${made.mapping.bank} on loan now.`);
    else remsim.toast(`${made.client} waits for a card of ${made.pool}.`, { hint: "It gets one by itself as soon as one is free." });
  }

  async function renew(number, seconds) {
    const answer = await remsim.ask(`Renew lease ${number}`, [
      { label: "From now on, for", value: inWords(seconds), required: true, pattern: DURATION, title: HINT },
    ], { hint: HINT, yes: "Renew" });
    if (!answer) return;
    await remsim.order("POST", `/leases/${number}/renew`, { for: answer[0] });
    remsim.toast(`Lease ${number} lasts ${answer[0]} from now on.`);
  }

  async function release(number) {
    await remsim.order("DELETE", `/leases/${number}`);
    remsim.toast(`Lease ${number} has ended.`);
  }

  async function lend(slot) {
    const isCard = slot.startsWith("B");
    const answer = await remsim.ask(isCard ? `Lend ${slot}` : `Lend ${slot} a card`, [
      isCard
        ? { label: "Client slot", placeholder: "C7:0", required: true }
        : { label: "Card", placeholder: "label:roaming, B1:3", required: true },
      { label: "For", value: "2h", required: true, pattern: DURATION, title: HINT },
      { label: "Waiting up to", value: "10m", pattern: DURATION, title: HINT, placeholder: "not at all" },
    ], { hint: "When the time is over, the card is taken away again.", yes: "Lend" });
    if (!answer) return;
    const [other, time, wait] = answer;
    await (isCard ? take(slot, other, time, wait) : take(poolOf(other), slot, time, wait));
  }

  const poolOf = (text) => (/^b[0-9]/i.test(text) ? text.toUpperCase() : text);

  function inWords(seconds) {
    for (const [unit, length] of [["d", 86400], ["h", 3600], ["m", 60]]) {
      if (seconds >= length && seconds % length === 0) return `${seconds / length}${unit}`;
    }
    return `${Math.max(1, Math.round(seconds))}s`;
  }

  async function tried(work) {
    try {
      await work();
    } catch (error) {
      remsim.refuse(error);
    }
  }

  document.getElementById("lease-take")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = (name) => document.getElementById(`lease-${name}`).value.trim();
    tried(() => take(poolOf(text("pool")), text("client"), text("for"), text("wait"), Number(text("priority"))));
  });

  document.getElementById("main").addEventListener("click", (event) => {
    const button = event.target.closest("button[data-lease-act]");
    if (!button) return;
    const number = button.closest("[data-lease]")?.dataset.lease;
    const act = button.dataset.leaseAct;
    tried(() => {
      if (act === "renew") return renew(number, Number(button.dataset.for));
      if (act === "release") return release(number);
      return lend(document.getElementById("head").dataset.slot);
    });
  });
})();
