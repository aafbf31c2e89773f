// SPDX-License-Identifier: Apache-2.0
// A new bank or client: makes its code, shows what to run on its host, and waits until it is connected. The first start
// is three such steps, each of which is looked at once a second until it is done.
"use strict";
(() => {
  const place = document.querySelector(".joining");
  if (!place) return;
  const hasAuthority = place.dataset.authority === "yes";
  const host = location.hostname;
  const joiner = document.getElementById("joiner");
  const set = (id, text) => {
    const element = document.getElementById(id);
    if (element.textContent !== text) element.textContent = text;
  };
  let awaited = null;

  async function join(kind, number, form) {
    const identity = `${kind}/${number}`;
    try {
      let code = null;
      if (hasAuthority) code = (await remsim.order("POST", "/codes", { identity })).body;
      const isBank = kind === "bank";
      const server = `${host.includes(":") ? `[${host}]` : host}:${place.dataset.rspro}`;
      const plain = hasAuthority ? "" : " --plaintext";
      set("joiner-head", `${isBank ? "Bank" : "Client"} ${number}`);
      set("joiner-enroll", `remsim enroll ${location.origin} -`);
      set("joiner-code", code ? code.code : "");
      for (const id of ["joiner-enroll-text", "joiner-enroll", "joiner-code-text", "joiner-code"]) {
        document.getElementById(id).hidden = !code;
      }
      set("joiner-start", isBank
        ? `remsim bankd --server ${server} --bank-id ${number} --auto${plain}`
        : `remsim client --server ${server} --client ${number}:0${plain}`);
      const own = form.parentElement.querySelector(".joiner-place");
      if (own) own.append(joiner);
      joiner.hidden = false;
      awaited = { kind, number, since: Date.now() };
      wait(false);
      look();
    } catch (error) {
      remsim.refuse(error);
    }
  }

  function wait(isThere) {
    const { kind, number, since } = awaited;
    const seconds = Math.round((Date.now() - since) / 1000);
    document.getElementById("joiner-sy").textContent = isThere ? "●" : "◔";
    joiner.classList.toggle("st-active", isThere);
    joiner.classList.toggle("st-waiting", !isThere);
    set("joiner-state", isThere ? `${kind} ${number} is connected.` : `Waiting for ${kind} ${number} (${seconds} s) …`);
  }

  async function isConnected(kind, number) {
    try {
      const found = (await remsim.order("GET", `/${kind}s/${number}`)).body;
      if (kind === "bank") return found.link.state === "connected";
      return found.slots.some((slot) => slot.link.state === "connected");
    } catch (error) {
      if (error.status === 404 || error.status === 0) return false;
      throw error;
    }
  }

  async function look() {
    if (awaited) wait(await isConnected(awaited.kind, awaited.number));
  }

  for (const form of document.querySelectorAll("form.join")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      join(form.dataset.kind, Number(form.querySelector("input").value), form);
    });
  }

  const steps = document.getElementById("steps");
  function tick(name, said) {
    const step = steps.querySelector(`[data-step="${name}"]`);
    step.classList.toggle("is-done", said !== "");
    const words = step.querySelector("[data-said]");
    if (words.textContent !== said) words.textContent = said;
    const mark = step.querySelector(".mark");
    const wanted = said ? "✓" : { bank: "1", client: "2", mapping: "3" }[name];
    if (mark.textContent !== wanted) mark.textContent = wanted;
  }

  async function lookAtSteps() {
    const [banks, clients, mappings] = await Promise.all(
      ["/banks?limit=1000", "/clients?limit=1000", "/mappings?limit=1000"].map(async (path) => (await remsim.order("GET", path)).body.items));
    const bank = banks.find((one) => one.link.state === "connected");
    const client = clients.flatMap((one) => one.slots).find((slot) => slot.link.state === "connected");
    const mapping = mappings.find((one) => one.operational);
    tick("bank", bank ? `done: bank ${bank.bank} is connected` : "");
    tick("client", client ? `done: ${client.slot} is connected` : "");
    tick("mapping", mapping ? `done: ${mapping.client} has ${mapping.bank}` : mappings.length ? "" : "");
  }

  const map = document.getElementById("first-map");
  map?.addEventListener("submit", (event) => {
    event.preventDefault();
    remsim.map(document.getElementById("first-card").value.trim(), document.getElementById("first-client").value.trim());
  });

  async function go() {
    try {
      await look();
      if (steps) await lookAtSteps();
    } catch (error) {
      if (!(error instanceof remsim.Refusal)) throw error;
    }
    setTimeout(go, 1000);
  }
  go();
})();
