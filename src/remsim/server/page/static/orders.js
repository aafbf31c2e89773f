// SPDX-License-Identifier: Apache-2.0
// Changes things: by REST v2, as any program does, with what proves that the request comes from this page. Says what
// came of it, and takes it back for ten seconds.
"use strict";
(() => {
  const UNDO_S = 10;
  const proof = document.querySelector('meta[name="proof"]').content;
  const toasts = document.getElementById("toasts");

  class Refusal extends Error {
    constructor(status, problem) {
      super(problem.detail || problem.title || `status ${status}`);
      this.status = status;
      this.hint = problem.hint || "";
      this.code = problem.code || "";
    }
  }

  async function order(method, path, body, headers = {}) {
    if (remsim.isStale()) throw new Refusal(0, { detail: "the server is not there now", hint: "nothing was changed" });
    const sent = { "X-Remsim-Proof": proof, Accept: "application/json", ...headers };
    if (body !== undefined) sent["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(`/api/v2${path}`, {
        method,
        headers: sent,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "same-origin",
        redirect: "error",
      });
    } catch {
      throw new Refusal(0, { detail: "the server did not answer", hint: "look before you try again" });
    }
    const text = await answer.text();
    let found = {};
    try {
      found = text ? JSON.parse(text) : {};
    } catch {
      found = { detail: "the answer cannot be read" };
    }
    if (answer.status === 401) remsim.end(found.code || "ended");
    if (!answer.ok) throw new Refusal(answer.status, found);
    return { status: answer.status, body: found, etag: answer.headers.get("ETag") };
  }

  function toast(text, { hint = "", isBad = false, undo = null, seconds = 6 } = {}) {
    const element = document.createElement("div");
    element.className = isBad ? "toast bad" : "toast";
    const words = document.createElement("p");
    words.textContent = text;
    element.append(words);
    if (hint) {
      const more = document.createElement("p");
      more.className = "hint";
      more.textContent = hint;
      element.append(more);
    }
    let left = undo ? UNDO_S : isBad ? 12 : seconds;
    const close = () => {
      clearInterval(timer);
      element.remove();
    };
    if (undo) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "undo";
      const name = () => { button.textContent = `Undo (${left} s)`; };
      name();
      button.addEventListener("click", () => {
        close();
        undo();
      });
      element.append(button);
      element.tick = name;
    }
    const timer = setInterval(() => {
      left -= 1;
      if (left <= 0) close();
      else if (element.tick) element.tick();
    }, 1000);
    while (toasts.children.length >= 4) toasts.firstElementChild.remove();
    toasts.append(element);
  }

  const refuse = (error) => {
    if (!(error instanceof Refusal)) throw error;
    toast(sentence(error.message), { hint: error.hint, isBad: true });
  };
  const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
  const slotPath = (slot) => encodeURIComponent(slot).replaceAll("%3A", ":");

  // Give a client this card. What both had before comes back by "undo".
  async function map(card, client) {
    try {
      const before = await current(client);
      const made = await order("PUT", `/mappings/${slotPath(client)}`, { card });
      if (made.status === 200 && before?.bank === made.body.bank) {
        toast(`${client} has ${made.body.bank} already.`);
        return;
      }
      toast(`${client} has ${made.body.bank} now${before ? ` instead of ${before.bank}` : ""}.`, {
        undo: () => undoMap(client, before, made.etag),
      });
    } catch (error) {
      refuse(error);
    }
  }

  async function current(client) {
    try {
      return (await order("GET", `/mappings/${slotPath(client)}`)).body;
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  }

  async function undoMap(client, before, etag) {
    const match = etag ? { "If-Match": etag } : {};
    try {
      if (before) await order("PUT", `/mappings/${slotPath(client)}`, { card: before.bank }, match);
      else await order("DELETE", `/mappings/${slotPath(client)}`, undefined, match);
      toast(before ? `${client} has ${before.bank} again.` : `${client} has no card again.`);
    } catch (error) {
      refuse(error);
    }
  }

  async function unmap(client) {
    try {
      const before = await current(client);
      if (!before) {
        toast(`${client} has no card.`);
        return;
      }
      await order("DELETE", `/mappings/${slotPath(client)}`);
      toast(`${before.bank} was taken from ${client}.`, { undo: () => remap(before) });
    } catch (error) {
      refuse(error);
    }
  }

  // Map again as it was, unless the client has another card by now.
  async function giveBack({ client, bank, follow }) {
    try {
      await order("PUT", `/mappings/${slotPath(client)}`, { card: bank, follow }, { "If-None-Match": "*" });
    } catch (error) {
      if (error.status !== 412) throw error;
      throw new Refusal(412, { detail: `${client} has got a card again meanwhile`, hint: "it keeps that one" });
    }
  }

  async function remap(before) {
    try {
      await giveBack(before);
      toast(`${before.client} has ${before.bank} again.`);
    } catch (error) {
      refuse(error);
    }
  }

  const labelPath = (subject) => `/labels/${slotPath(subject)}`;

  const lockPath = (slot) => `/banks/${slot.slice(1).replace(":", "/slots/")}/lock`;

  // Do the same for each of these, four at a time. `work` gives what its undo needs, or nothing if there was nothing to do.
  async function forAll(subjects, work) {
    const done = [];
    const refused = [];
    const left = [...subjects];
    const one = async () => {
      for (let subject = left.shift(); subject !== undefined; subject = left.shift()) {
        try {
          const made = await work(subject);
          if (made !== undefined) done.push(made);
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          refused.push(error);
        }
      }
    };
    await Promise.all([one(), one(), one(), one()]);
    return { done, refused };
  }

  // What came of it in one sentence, and why the first of those was refused that were.
  function sumUp({ done, refused }, words, undo = null) {
    const bad = refused.length ? ` ${refused.length} refused: ${refused[0].message}.` : "";
    toast(`${words}${bad}`, {
      hint: refused[0]?.hint ?? "",
      isBad: refused.length > 0,
      undo: undo && done.length ? () => undo(done) : null,
    });
  }

  // Give each of these slots other labels: `change` makes the new list of the old one.
  async function relabel(subjects, change) {
    const found = await forAll(subjects, async (subject) => {
      const old = await order("GET", labelPath(subject));
      const wanted = [...new Set(change(old.body.labels))].sort();
      if (wanted.join("\t") === old.body.labels.join("\t")) return undefined;
      await order("PUT", labelPath(subject), { labels: wanted }, old.etag ? { "If-Match": old.etag } : {});
      return [subject, old.body.labels];
    });
    const count = found.done.length;
    sumUp(found, `${count} ${count === 1 ? "slot has" : "slots have"} other labels now.`, unlabel);
  }

  async function unlabel(done) {
    try {
      for (const [subject, labels] of done) await order("PUT", labelPath(subject), { labels });
      toast("The labels are as they were.");
    } catch (error) {
      refuse(error);
    }
  }

  Object.assign(remsim, { order, toast, refuse, map, unmap, giveBack, slotPath, lockPath, forAll, sumUp, relabel, Refusal });
})();
