/** A method: what it does, a form to call it, and what came back. */

import { answered } from "./answer.js";
import { fill, make, newId } from "./dom.js";
import { problemsOf } from "./errors.js";
import { ParametersForm } from "./form.js";
import { formCall, getCall, jsonCall } from "./outgoing.js";
import { policyOf } from "./policy.js";

/** @typedef {import("./types.js").Method} Method */
/** @typedef {import("./types.js").Outgoing} Outgoing */
/** @typedef {import("./types.js").Service} Service */
/** @typedef {import("./exchange.js").Line} Line */

export class CallPanel {
  element;
  #method;
  #service;
  #line;
  #form;
  #answer = make("div", { "aria-live": "polite" });
  #byGet = make("input", { type: "checkbox" });
  #key = make("input", { id: newId(), type: "text", autocomplete: "off", maxlength: 255 });
  #send;
  #stop;
  /** @type {AbortController | null} */
  #running = null;

  /**
   * @param {Method} method
   * @param {Service} service
   * @param {Line} line
   * @param {(method: string, parameters: string) => void} collect adds a call to the batch
   */
  constructor(method, service, line, collect) {
    this.#method = method;
    this.#service = service;
    this.#line = line;
    this.#form = new ParametersForm(method, service);
    this.#send = make("button", { type: "submit" }, "Call");
    this.#stop = make(
      "button",
      { type: "button", class: "quiet", hidden: true, onclick: () => this.#running?.abort() },
      "Stop",
    );
    const add = make(
      "button",
      { type: "button", class: "quiet", onclick: () => this.#collect(collect) },
      "Add to the batch",
    );
    const form = make(
      "form",
      { novalidate: true, onsubmit: this.#submit, onkeydown: submitByKeys },
      this.#form.element,
      method.idempotent ? this.#keyField() : null,
      method.by_get ? make("label", { class: "inline" }, this.#byGet, " by GET") : null,
      make(
        "div",
        { class: "row" },
        this.#send,
        this.#stop,
        service.batch_limit > 0 && !method.raw ? add : null,
      ),
    );
    this.element = make(
      "section",
      {},
      make("h2", { tabindex: -1 }, method.name),
      method.summary ? make("p", { class: "summary" }, method.summary) : null,
      method.description ? make("p", { class: "documentation" }, method.description) : null,
      policyOf(method, service),
      form,
      this.#answer,
    );
  }

  /** @param {Event} event */
  #submit = async (event) => {
    event.preventDefault();
    if (this.#running !== null) return;
    const outgoing = await this.#outgoing();
    if (outgoing === null) return;
    this.#running = new AbortController();
    this.#send.setAttribute("aria-disabled", "true");
    this.#stop.hidden = false;
    fill(this.#answer, make("p", {}, "Waiting …"));
    const request = { ...outgoing, isRaw: this.#method.raw };
    const exchange = await this.#line.send(request, this.#running.signal);
    this.#running = null;
    this.#send.removeAttribute("aria-disabled");
    this.#stop.hidden = true;
    this.#form.show(problemsOf(exchange.message?.error));
    const byCookie = this.#service.cookies && this.#line.sessions.current !== null;
    fill(this.#answer, answered(exchange, this.#service, byCookie));
  };

  /** The request; null if something is wrong, which is shown. */
  async #outgoing() {
    const given = this.#form.read();
    if (given === null) return null;
    const { name } = this.#method;
    try {
      if (given.files.size > 0)
        return await formCall(this.#service, name, given.text, given.files, this.#key.value);
      return this.#byGet.checked
        ? getCall(name, given.text)
        : jsonCall(this.#service, name, given.text, this.#key.value);
    } catch (error) {
      fill(
        this.#answer,
        make("p", { class: "problem" }, error instanceof Error ? error.message : String(error)),
      );
      return null;
    }
  }

  /** @param {(method: string, parameters: string) => void} collect */
  #collect(collect) {
    const given = this.#form.read();
    if (given === null) return;
    if (given.files.size > 0) {
      fill(
        this.#answer,
        make("p", { class: "problem" }, "A batch has no files: write them in base64, as JSON."),
      );
      return;
    }
    collect(this.#method.name, given.text);
    fill(this.#answer, make("p", {}, "It is in the ", make("a", { href: "#batch" }, "batch"), "."));
  }

  #keyField() {
    const renew = () => (this.#key.value = crypto.randomUUID?.() ?? String(Math.random()).slice(2));
    return make(
      "div",
      { class: "field" },
      make("label", { for: this.#key.id }, "Idempotency key"),
      make(
        "div",
        { class: "row" },
        this.#key,
        make("button", { type: "button", class: "quiet", onclick: renew }, "New key"),
      ),
      make(
        "p",
        { class: "help" },
        "A call that repeats a key within a day has the same outcome. Without one, each call counts.",
      ),
    );
  }
}

/** @param {KeyboardEvent} event */
function submitByKeys(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    /** @type {HTMLFormElement} */ (event.currentTarget).requestSubmit();
  }
}
