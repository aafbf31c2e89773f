// SPDX-License-Identifier: Apache-2.0
// Questions before something is done: with fields (remsim.ask), or with yes and no only (remsim.confirm).
"use strict";
(() => {
  const node = (name, values = {}, ...inner) => {
    const made = Object.assign(document.createElement(name), values);
    made.append(...inner);
    return made;
  };

  // Gives what was written into each field, or null. A field: { label, value, placeholder, required, pattern, title }.
  function ask(title, fields, { hint = "", yes = "Do it", isDanger = false } = {}) {
    const inputs = fields.map(({ label: _, ...values }, number) =>
      node("input", { id: `ask-${number}`, autocomplete: "off", spellcheck: false, ...values }));
    const sure = node("button", { className: isDanger ? "danger" : "main", textContent: yes, value: "yes" });
    // Where nothing is to be written, Enter right away is not to be the order.
    const no = node("button", { className: "plain", textContent: "Cancel", type: "button", autofocus: !fields.length });
    const form = node("form", { method: "dialog" }, node("h2", { id: "ask-head", textContent: title }));
    inputs.forEach((input, number) =>
      form.append(node("label", { htmlFor: input.id, textContent: fields[number].label }), input));
    if (hint) form.append(node("p", { className: "hint", id: "ask-hint", textContent: hint }));
    form.append(node("p", { className: "buttons" }, sure, no));
    const dialog = node("dialog", {}, form);
    dialog.setAttribute("aria-labelledby", "ask-head");
    if (hint) dialog.setAttribute("aria-describedby", "ask-hint");
    no.addEventListener("click", () => dialog.close(""));
    document.body.append(dialog);
    dialog.showModal();
    inputs[0]?.select();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => {
        dialog.remove();
        resolve(dialog.returnValue === "yes" ? inputs.map((input) => input.value.trim()) : null);
      });
    });
  }

  const confirm = async (title, hint, yes) => (await ask(title, [], { hint, yes, isDanger: true })) !== null;

  Object.assign(remsim, { ask, confirm });
})();
