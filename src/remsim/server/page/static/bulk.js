// SPDX-License-Identifier: Apache-2.0
// One order for all slots that the filter shows: label, lock, unlock, unmap. One sentence says what came of it, and one
// undo takes it back. Each slot is looked at again first, so that what others have changed meanwhile stays.
"use strict";
(() => {
  const bulk = document.getElementById("bulk");
  if (!bulk) return;
  const changer = document.getElementById("changer");
  const labeller = document.getElementById("labeller");
  const add = document.getElementById("labeller-add");
  const remove = document.getElementById("labeller-remove");
  const slots = (count) => `${count} ${count === 1 ? "slot" : "slots"}`;
  const slotsAre = (count) => `${slots(count)} ${count === 1 ? "is" : "are"}`;
  const clientsHave = (count) => `${count} ${count === 1 ? "client has its card" : "clients have their cards"}`;
  const their = (count, one, more) => (count === 1 ? one : more);
  let chosen = { all: [], open: [], locked: [], mapped: [], labels: [] };

  function choose() {
    const shown = remsim.shown();
    const names = (tiles) => tiles.map((tile) => tile.dataset.slot);
    chosen = {
      all: names(shown),
      open: names(shown.filter((tile) => !("locked" in tile.dataset))),
      locked: names(shown.filter((tile) => "locked" in tile.dataset)),
      mapped: shown.filter((tile) => tile.dataset.to).map((tile) => ({ slot: tile.dataset.slot, client: tile.dataset.to })),
      labels: [...new Set(shown.flatMap(remsim.labelsOf))].sort(),
    };
    const { all, open, locked, mapped } = chosen;
    document.getElementById("changer-text").textContent = `${slotsAre(all.length)} shown by the filter.`;
    offer("label", all, (count) => `Label ${slots(count)}…`, "");
    offer("lock", open, (count) => `Lock ${slots(count)}…`, "Lock: all are locked");
    offer("unlock", locked, (count) => `Unlock ${slots(count)}`, "Unlock: none is locked");
    offer("unmap", mapped, (count) => `Unmap ${slots(count)}…`, "Unmap: none has a client");
    changer.showModal();
  }

  function offer(act, found, words, none) {
    const button = changer.querySelector(`[data-bulk="${act}"]`);
    button.textContent = found.length ? words(found.length) : none;
    button.disabled = !found.length;
  }

  // Labels
  function askLabels() {
    document.getElementById("labeller-text").textContent = `${slotsAre(chosen.all.length)} shown by the filter.`;
    remove.replaceChildren(remove.options[0], ...chosen.labels.map((name) => new Option(name, name)));
    remove.value = "";
    add.value = "";
    labeller.showModal();
    add.focus();
  }

  function label() {
    const wanted = add.value.trim();
    const unwanted = remove.value;
    labeller.close();
    if (wanted || unwanted) {
      remsim.relabel(chosen.all, (old) => [...old.filter((one) => one !== unwanted), ...(wanted ? [wanted] : [])]);
    }
  }

  // Locks
  const lockOf = async (slot) => (await remsim.order("GET", remsim.lockPath(slot).replace(/[/]lock$/, ""))).body.lock ?? null;

  const putLock = async (slot, reason) => {
    const made = await remsim.order("PUT", remsim.lockPath(slot), { reason });
    return { slot, lock: made.body };
  };

  async function lock() {
    const count = chosen.open.length;
    const answer = await remsim.ask(`Lock ${slots(count)}`, [{ label: "Why", required: true, maxLength: 200 }], {
      hint: `${their(count, "It gets", "They get")} no new mapping and no lease; what ${their(count, "it has", "they have")} goes on.`,
      yes: "Lock",
    });
    if (!answer) return;
    const found = await remsim.forAll(chosen.open, async (slot) =>
      ((await lockOf(slot)) ? undefined : putLock(slot, answer[0])));
    remsim.sumUp(found, `${slotsAre(found.done.length)} locked now.`, takeLocksBack);
  }

  async function takeLocksBack(done) {
    const found = await remsim.forAll(done, async ({ slot, lock: ours }) => {
      const now = await lockOf(slot);
      if (now?.since !== ours.since || now.reason !== ours.reason) return undefined;
      await remsim.order("DELETE", remsim.lockPath(slot));
      return slot;
    });
    remsim.sumUp(found, `${slotsAre(found.done.length)} not locked any more.`);
  }

  async function unlock() {
    const found = await remsim.forAll(chosen.locked, async (slot) => {
      const before = await lockOf(slot);
      if (!before) return undefined;
      await remsim.order("DELETE", remsim.lockPath(slot));
      return { slot, reason: before.reason };
    });
    remsim.sumUp(found, `${slotsAre(found.done.length)} not locked any more.`, lockAgain);
  }

  async function lockAgain(done) {
    const found = await remsim.forAll(done, async ({ slot, reason }) =>
      ((await lockOf(slot)) ? undefined : putLock(slot, reason)));
    remsim.sumUp(found, `${slotsAre(found.done.length)} locked again.`);
  }

  // Mappings
  async function unmap() {
    const count = chosen.mapped.length;
    const title = `Unmap ${slots(count)}?`;
    const hint = `${their(count, "Its modem loses its card", "Their modems lose their cards")} at once: calls and data end.`;
    if (!(await remsim.confirm(title, hint, `Unmap ${slots(count)}`))) return;
    const found = await remsim.forAll(chosen.mapped, async ({ slot, client }) => {
      const path = `/mappings/${remsim.slotPath(client)}`;
      const before = await remsim.order("GET", path).catch((error) => {
        if (error.status === 404) return null;
        throw error;
      });
      if (before?.body.bank !== slot) return undefined;
      await remsim.order("DELETE", path, undefined, before.etag ? { "If-Match": before.etag } : {});
      return before.body;
    });
    remsim.sumUp(found, `${slotsAre(found.done.length)} unmapped now.`, mapAgain);
  }

  async function mapAgain(done) {
    const found = await remsim.forAll(done, async (before) => {
      await remsim.giveBack(before);
      return before;
    });
    remsim.sumUp(found, `${clientsHave(found.done.length)} again.`);
  }

  const orders = { label: askLabels, lock, unlock, unmap };
  bulk.addEventListener("click", choose);
  changer.addEventListener("click", (event) => {
    const button = event.target.closest("[data-bulk]");
    if (!button) return;
    changer.close();
    orders[button.dataset.bulk]();
  });
  document.getElementById("labeller-do").addEventListener("click", label);
  add.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      label();
    }
  });
})();
