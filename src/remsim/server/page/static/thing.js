// SPDX-License-Identifier: Apache-2.0
// The view of one slot: map, unmap, change labels. What it shows is kept up to date by the stream.
"use strict";
(() => {
  const main = document.getElementById("main");
  const slot = () => document.getElementById("head").dataset.slot;

  function ask(title, label, value, hint, take) {
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", "ask-head");
    const form = document.createElement("form");
    form.method = "dialog";
    const head = document.createElement("h2");
    head.id = "ask-head";
    head.textContent = title;
    const name = document.createElement("label");
    name.htmlFor = "ask-input";
    name.textContent = label;
    const input = document.createElement("input");
    input.id = "ask-input";
    input.value = value;
    input.autocomplete = "off";
    const more = document.createElement("p");
    more.className = "hint";
    more.textContent = hint;
    const buttons = document.createElement("p");
    buttons.className = "buttons";
    const yes = document.createElement("button");
    yes.className = "main";
    yes.textContent = "Do it";
    yes.value = "yes";
    const no = document.createElement("button");
    no.className = "plain";
    no.type = "button";
    no.textContent = "Cancel";
    no.addEventListener("click", () => dialog.close(""));
    buttons.append(yes, no);
    form.append(head, name, input, more, buttons);
    dialog.append(form);
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "yes") take(input.value.trim());
      dialog.remove();
    });
    dialog.showModal();
    input.select();
  }

  main.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-act]");
    if (!button) return;
    const name = slot();
    if (button.dataset.act === "unmap") remsim.unmap(button.dataset.client);
    if (button.dataset.act === "label") {
      const old = button.dataset.labels ? button.dataset.labels.split("\t").join(", ") : "";
      ask(`Labels of ${name}`, "Labels, separated by commas", old, "Labels that are not here are taken away.", (text) => {
        remsim.relabel([name], () => text.split(",").map((one) => one.trim()).filter(Boolean));
      });
    }
    if (button.dataset.act === "map" && name.startsWith("B")) {
      ask(`Give ${name} to a client`, "Client slot", "", "Written as C7:0. What it has now is taken from it.", (client) => {
        if (client) remsim.map(name, client.toUpperCase());
      });
    }
    if (button.dataset.act === "map" && name.startsWith("C")) {
      ask(`Give ${name} a card`, "Card", "", "A slot as B1:3, or any free card with a label, as label:roaming.", (card) => {
        if (card) remsim.map(/^b[0-9]/i.test(card) ? card.toUpperCase() : card, name);
      });
    }
  });
})();
