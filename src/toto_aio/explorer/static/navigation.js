/** The list of the methods by their packages, with a filter. */

import { byId, fill, make, newId } from "./dom.js";

/** @typedef {import("./types.js").Method} Method */
/** @typedef {import("./types.js").Service} Service */

export class Navigation {
  #methods;
  #hasBatch;
  #hasChannels;
  #inBatch = 0;
  #filter = make("input", {
    id: newId(),
    type: "search",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => this.#show(),
    onkeydown: this.#enter.bind(this),
  });
  #list = make("div", { id: "methods", onkeydown: step });
  #count = make("p", { class: "help", role: "status" });
  /** @type {HTMLButtonElement} */
  #toggle;

  /** @param {Service} service */
  constructor(service) {
    this.#methods = service.methods;
    this.#hasBatch = service.batch_limit > 0;
    this.#hasChannels = service.channels.length > 0;
    this.#toggle = make(
      "button",
      {
        type: "button",
        class: "quiet menu",
        "aria-expanded": "false",
        "aria-controls": "menu",
        onclick: () => this.#open(this.#toggle.getAttribute("aria-expanded") !== "true"),
      },
      "Methods",
    );
    const menu = make(
      "div",
      { id: "menu" },
      make("label", { for: this.#filter.id }, "Filter"),
      this.#filter,
      this.#count,
      this.#list,
    );
    fill(byId("navigation"), this.#toggle, menu);
    document.onkeydown = (event) => {
      const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
      if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#open(true);
      this.#filter.focus();
    };
    this.#show();
  }

  /** @param {number} count of the calls in the batch */
  count(count) {
    this.#inBatch = count;
    this.#show();
  }

  /** Mark where the page is, and close the list where it covers the page. */
  follow() {
    this.#open(false);
    for (const link of this.#list.querySelectorAll("a")) {
      if (link.hash === location.hash) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** @param {boolean} open */
  #open(open) {
    this.#toggle.setAttribute("aria-expanded", String(open));
    byId("navigation").classList.toggle("open", open);
  }

  #show() {
    const wanted = this.#filter.value.trim().toLowerCase();
    const found = this.#methods.filter(({ name, summary }) =>
      `${name} ${summary ?? ""}`.toLowerCase().includes(wanted),
    );
    const groups = grouped(found);
    const lists = [...groups].map(([name, methods]) =>
      make(
        "section",
        {},
        make("h2", {}, name || "Methods"),
        make(
          "ul",
          {},
          ...methods.map((method) =>
            link(`#method/${encodeURIComponent(method.name)}`, method.name, method.deprecated !== null),
          ),
        ),
      ),
    );
    const others = [
      this.#hasBatch ? link("#batch", `Batch${this.#inBatch > 0 ? ` (${this.#inBatch})` : ""}`) : null,
      this.#hasChannels ? link("#channels", "Channels") : null,
      link("#errors", "Errors"),
    ];
    this.#count.textContent =
      wanted === ""
        ? `${found.length} methods. / filters them.`
        : `${found.length} of ${this.#methods.length} methods`;
    fill(this.#list, make("ul", {}, ...others.filter((each) => each !== null)), ...lists);
    for (const each of this.#list.querySelectorAll("a"))
      if (each.hash === location.hash) each.setAttribute("aria-current", "page");
  }

  /** @param {KeyboardEvent} event */
  #enter(event) {
    const first = this.#list.querySelector("section a");
    if (!(first instanceof HTMLAnchorElement)) return;
    if (event.key === "Enter") first.click();
    else if (event.key === "ArrowDown") first.focus();
    else return;
    event.preventDefault();
  }
}

/**
 * @param {string} href
 * @param {string} text
 * @param {boolean} [isDeprecated]
 */
function link(href, text, isDeprecated = false) {
  return make("li", {}, make("a", { href, class: isDeprecated ? "deprecated" : null }, text));
}

/**
 * Up and down lead from link to link.
 * @param {KeyboardEvent} event
 */
function step(event) {
  const links = [.../** @type {HTMLElement} */ (event.currentTarget).querySelectorAll("a")];
  const at = links.indexOf(/** @type {HTMLAnchorElement} */ (document.activeElement));
  const next = links[at + ({ ArrowDown: 1, ArrowUp: -1 }[event.key] ?? 0)];
  if (at < 0 || next === undefined || next === links[at]) return;
  event.preventDefault();
  next.focus();
}

/** @param {Method} method */
function packageOf({ name }) {
  return name.slice(0, Math.max(name.lastIndexOf("."), 0));
}

/**
 * @param {Method[]} methods
 * @returns {Map<string, Method[]>}
 */
function grouped(methods) {
  /** @type {Map<string, Method[]>} */
  const found = new Map();
  for (const method of methods)
    found.set(packageOf(method), [...(found.get(packageOf(method)) ?? []), method]);
  return found;
}
