// SPDX-License-Identifier: Apache-2.0
// The view of one slot: map, unmap, change labels. What it shows is kept up to date by the stream.
"use strict";
(() => {
  const main = document.getElementById("main");
  const slot = () => document.getElementById("head").dataset.slot;

  async function askOne(title, label, value, hint, take) {
    const answer = await remsim.ask(title, [{ label, value }], { hint });
    if (answer) take(answer[0]);
  }

  main.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-act]");
    if (!button) return;
    const name = slot();
    if (button.dataset.act === "unmap") remsim.unmap(button.dataset.client);
    if (button.dataset.act === "label") {
      const old = button.dataset.labels ? button.dataset.labels.split("\t").join(", ") : "";
      askOne(`Labels of ${name}`, "Labels, separated by commas", old, "Labels that are not here are taken away.", (text) => {
        remsim.relabel([name], () => text.split(",").map((one) => one.trim()).filter(Boolean));
      });
    }
    if (button.dataset.act === "map" && name.startsWith("B")) {
      askOne(`Give ${name} to a client`, "Client slot", "", "Written as C7:0. What it has now is taken from it.", (client) => {
        if (client) remsim.map(name, client.toUpperCase());
      });
    }
    if (button.dataset.act === "map" && name.startsWith("C")) {
      askOne(`Give ${name} a card`, "Card", "", "A slot as B1:3, or any free card with a label, as label:roaming.", (card) => {
        if (card) remsim.map(/^b[0-9]/i.test(card) ? card.toUpperCase() : card, name);
      });
    }
  });
})();
