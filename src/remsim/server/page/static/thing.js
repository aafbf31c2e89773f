// SPDX-License-Identifier: Apache-2.0
// The view of one slot: map, unmap, change labels. What it shows is kept up to date by the stream.
"use strict";
(() => {
  const main = document.getElementById("main");
  const slot = () => document.getElementById("head").dataset.slot;

  async function askOne(title, label, value, hint, yes, take) {
    const answer = await remsim.ask(title, [{ label, value }], { hint, yes });
    if (answer) take(answer[0]);
  }

  async function tried(work) {
    try {
      await work();
    } catch (error) {
      remsim.refuse(error);
    }
  }

  const lock = (name, reason) => tried(async () => {
    await remsim.order("PUT", remsim.lockPath(name), { reason });
    remsim.toast(`${name} is locked.`, { undo: () => unlock(name) });
  });

  const unlock = (name) => tried(async () => {
    await remsim.order("DELETE", remsim.lockPath(name));
    remsim.toast(`${name} is not locked any more.`);
  });

  async function reinsert(client) {
    const hint = "The modem sees its card removed and inserted again; what it does now is interrupted.";
    if (!(await remsim.confirm(`Reinsert the card of ${client}?`, hint, "Reinsert"))) return;
    await tried(async () => {
      await remsim.order("POST", `/mappings/${client}/reinsert`);
      remsim.toast(`${client} gets its card inserted again.`);
    });
  }

  main.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-act]");
    if (!button) return;
    const name = slot();
    if (button.dataset.act === "unmap") remsim.unmap(button.dataset.client);
    if (button.dataset.act === "lock") {
      askOne(`Lock ${name}`, "Why", "", "It gets no new mapping and no lease; what it has goes on.", "Lock", (reason) => lock(name, reason));
    }
    if (button.dataset.act === "unlock") unlock(name);
    if (button.dataset.act === "reinsert") reinsert(button.dataset.client);
    if (button.dataset.act === "label") {
      const old = button.dataset.labels ? button.dataset.labels.split("\t").join(", ") : "";
      askOne(`Labels of ${name}`, "Labels, separated by commas", old, "Labels that are not here are taken away.", "Label", (text) => {
        remsim.relabel([name], () => text.split(",").map((one) => one.trim()).filter(Boolean));
      });
    }
    if (button.dataset.act === "map" && name.startsWith("B")) {
      askOne(`Give ${name} to a client`, "Client slot", "", "Written as C7:0. What it has now is taken from it.", "Map", (client) => {
        if (client) remsim.map(name, client.toUpperCase());
      });
    }
    if (button.dataset.act === "map" && name.startsWith("C")) {
      askOne(`Give ${name} a card`, "Card", "", "A slot as B1:3, or any free card with a label, as label:roaming.", "Map", (card) => {
        if (card) remsim.map(/^b[0-9]/i.test(card) ? card.toUpperCase() : card, name);
      });
    }
  });
})();
