/** Calls that are collected, and sent as one request. */

import { answered } from "./answer.js";
import { code, fill, make } from "./dom.js";
import { explained } from "./errors.js";
import { members, pretty } from "./json.js";
import { batchCall, batchId } from "./outgoing.js";

/** @typedef {import("./types.js").Service} Service */
/** @typedef {import("./exchange.js").Line} Line */
/** @typedef {{method: string, parameters: string}} Collected */

export class BatchPanel {
  element;
  /** Told how many calls there are. @type {(count: number) => void} */
  onchange = () => {};
  #service;
  #line;
  /** The calls in it. @type {Collected[]} */
  calls = [];
  #list = make("ol", { class: "calls" });
  #answer = make("div", { "aria-live": "polite" });
  #heading = make("h2", { tabindex: -1 }, "Batch");

  /**
   * @param {Service} service
   * @param {Line} line
   * @param {Collected[]} calls those of the panel before this one
   */
  constructor(service, line, calls) {
    this.#service = service;
    this.#line = line;
    this.element = make(
      "section",
      {},
      this.#heading,
      make(
        "p",
        {},
        `Up to ${service.batch_limit} calls in one request, in their order and with one session: a login serves the calls after it. `,
        "“Add to the batch” below a method collects them.",
      ),
      this.#list,
      make(
        "div",
        { class: "row" },
        make("button", { type: "button", onclick: () => void this.#send() }, "Send the batch"),
        make("button", { type: "button", class: "quiet", onclick: () => this.#change([]) }, "Empty it"),
      ),
      this.#answer,
    );
    this.#change(calls);
  }

  /**
   * @param {string} method
   * @param {string} parameters JSON of an object
   */
  add(method, parameters) {
    this.#change([...this.calls, { method, parameters }]);
  }

  /** @param {Collected[]} calls */
  #change(calls) {
    this.calls = calls;
    const rows = calls.map((call) => {
      const remove = () => {
        this.#change(this.calls.filter((each) => each !== call));
        this.#heading.focus();
      };
      const button = make(
        "button",
        { type: "button", class: "quiet", "aria-label": `Remove ${call.method}`, onclick: remove },
        "Remove",
      );
      return make(
        "li",
        {},
        make("strong", {}, call.method),
        " ",
        make("code", {}, call.parameters),
        " ",
        button,
      );
    });
    fill(this.#list, ...(rows.length > 0 ? rows : [make("li", { class: "help" }, "No calls yet.")]));
    this.onchange(calls.length);
  }

  async #send() {
    const calls = this.calls;
    if (calls.length === 0) {
      fill(this.#answer, make("p", { class: "problem" }, "There are no calls in it."));
      return;
    }
    fill(this.#answer, make("p", {}, "Waiting …"));
    const exchange = await this.#line.send(batchCall(calls));
    const { batch } = exchange.message ?? {};
    const texts = new Map(
      batch === undefined
        ? []
        : members(/** @type {string} */ (new Map(members(exchange.text ?? "{}")).get("batch"))),
    );
    const outcomes = calls.map(({ method }, index) => {
      const id = batchId(index);
      const error = batch?.[id]?.error;
      const result = new Map(members(texts.get(id) ?? "{}")).get("result");
      return make(
        "li",
        {},
        make("strong", {}, method),
        error === undefined
          ? code(pretty(result ?? "null"), `Result of call ${index + 1}`)
          : explained(error, this.#service),
      );
    });
    const byCookie = this.#service.cookies && this.#line.sessions.current !== null;
    fill(
      this.#answer,
      batch === undefined ? null : make("h3", {}, "Outcomes"),
      batch === undefined ? null : make("ol", { class: "calls" }, ...outcomes),
      answered(exchange, this.#service, byCookie),
    );
  }
}
