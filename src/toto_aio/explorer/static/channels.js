/** The channels of the service: who may subscribe, and what comes. */

import { limitOfSocket } from "./caller.js";
import { fill, make, newId, section, shortened } from "./dom.js";
import { explained } from "./errors.js";
import { asked, listed } from "./policy.js";
import { Socket } from "./socket.js";

/** @typedef {import("./types.js").Channel} Channel */
/** @typedef {import("./types.js").Service} Service */
/** @typedef {import("./exchange.js").Line} Line */

const MOST = 500;
const LONGEST = 10_000;

export class ChannelsPanel {
  element;
  #service;
  #socket;
  #name = make("input", { id: newId(), type: "text", autocomplete: "off", spellcheck: "false" });
  #problem = make("div", { role: "alert" });
  #list = make("div");
  /** @type {Map<string, Subscription>} */
  #subscriptions = new Map();

  /**
   * @param {Service} service
   * @param {Line} line
   */
  constructor(service, line) {
    this.#service = service;
    this.#socket = new Socket(line, service.socket ?? "websocket");
    this.#socket.onframe = (frame) => this.#subscriptions.get(frame.channel)?.take(frame);
    this.#socket.onclose = (reason) => this.#subscriptions.forEach((each) => each.lost(reason));
    this.#name.value = service.channels[0]?.pattern ?? "";
    const limit = limitOfSocket(service, service.cookies && line.sessions.current?.session_id === "");
    const form = make(
      "form",
      { onsubmit: this.#submit },
      make("label", { for: this.#name.id }, "Channel"),
      make("div", { class: "row" }, this.#name, make("button", { type: "submit" }, "Subscribe")),
      make(
        "p",
        { class: "help" },
        "Replace what stands in braces. Clients publish by calling methods, which decide who may.",
      ),
      limit === "" ? null : make("p", { class: "help" }, limit),
      this.#problem,
    );
    this.element = make(
      "section",
      {},
      make("h2", { tabindex: -1 }, "Channels"),
      ...service.channels.map((each) => this.#described(each)),
      form,
      this.#list,
    );
  }

  /** The session has changed: what was subscribed under the one before has ended. */
  leave() {
    this.#socket.close();
  }

  /** @param {Channel} channel */
  #described(channel) {
    const { pattern, summary, description, history, ttl, presence } = channel;
    const choose = () => {
      this.#name.value = pattern;
      this.#name.focus();
    };
    return section(
      pattern,
      this.#service.channels.length === 1,
      summary ? make("p", {}, summary) : null,
      description ? make("p", { class: "documentation" }, description) : null,
      listed([
        ...asked(channel),
        ["Kept", history > 0 ? `${history} publications, for ${ttl} s after the last` : "nothing"],
        ["Presence", presence ? "subscribers may ask who is there" : null],
      ]),
      make("button", { type: "button", class: "quiet", onclick: choose }, "Choose"),
    );
  }

  /** @param {Event} event */
  #submit = async (event) => {
    event.preventDefault();
    const name = this.#name.value.trim();
    fill(this.#problem);
    if (this.#subscriptions.get(name)?.isOpen) {
      fill(this.#problem, make("p", { class: "problem" }, "It is subscribed already."));
      return;
    }
    await this.#subscribe(name);
  };

  /** @param {string} name */
  async #subscribe(name) {
    const known = this.#subscriptions.get(name);
    const subscription =
      known ??
      new Subscription(
        name,
        () => void this.#subscribe(name),
        () => void this.#unsubscribe(name),
        () => this.#socket.request({ presence: name }),
      );
    this.#subscriptions.set(name, subscription); // frames may come right behind the response
    try {
      const { position } = subscription;
      subscription.begin(
        await this.#socket.request(
          position === null ? { subscribe: name } : { subscribe: name, since: position },
        ),
      );
      if (known === undefined) this.#list.prepend(subscription.element);
      fill(this.#problem);
    } catch (error) {
      if (known === undefined) this.#subscriptions.delete(name);
      const shown =
        error instanceof Error
          ? make("p", { class: "problem" }, error.message)
          : explained(/** @type {any} */ (error), this.#service);
      fill(this.#problem, shown);
    }
  }

  /** @param {string} name */
  async #unsubscribe(name) {
    const subscription = this.#subscriptions.get(name);
    if (subscription?.isOpen) await this.#socket.request({ unsubscribe: name }).catch(() => null);
    this.#subscriptions.delete(name);
    subscription?.element.remove();
    this.#name.focus();
  }
}

/** One subscription, and what has come. */
class Subscription {
  isOpen = false;
  /** The last position; null without a history. @type {{epoch: string, offset: number} | null} */
  position = null;
  element;
  #state = make("p", { role: "status" });
  #log;
  #again;
  #who;

  /**
   * @param {string} name
   * @param {() => void} again
   * @param {() => void} leave
   * @param {() => Promise<any>} presence
   */
  constructor(name, again, leave, presence) {
    const ask = async () => {
      try {
        this.#add("who is there", (await presence()).members);
      } catch (error) {
        this.#add("not told who is there", error instanceof Error ? error.message : error);
      }
    };
    this.#who = make(
      "button",
      { type: "button", class: "quiet", hidden: true, onclick: () => void ask() },
      "Who is there?",
    );
    this.#log = make("div", { class: "log", role: "log", tabindex: 0, "aria-label": `What came on ${name}` });
    this.#again = make(
      "button",
      { type: "button", class: "quiet", hidden: true, onclick: again },
      "Subscribe again",
    );
    this.element = make(
      "div",
      { class: "subscription" },
      make("h3", {}, name),
      this.#state,
      make(
        "div",
        { class: "row" },
        this.#again,
        this.#who,
        make(
          "button",
          { type: "button", class: "quiet", "aria-label": `Leave ${name}`, onclick: leave },
          "Leave",
        ),
      ),
      this.#log,
    );
  }

  /** @param {any} result */
  begin({ position, recovered, publications, data, client }) {
    const resumes = this.position !== null;
    this.isOpen = true;
    this.position = position;
    this.#again.hidden = true;
    this.#who.hidden = client === undefined;
    this.#state.textContent = resumes
      ? recovered
        ? "Subscribed again: nothing was missed."
        : "Subscribed again: something was missed."
      : "Subscribed.";
    if (data !== null && data !== undefined) this.#add("with it", data);
    for (const each of publications ?? []) this.#add(each.offset ?? "", each.data);
  }

  /** @param {any} frame */
  take(frame) {
    if (frame.unsubscribed) this.lost(`${frame.unsubscribed.reason} (${frame.unsubscribed.code}).`);
    else if (frame.joined) this.#add("joined", frame.joined);
    else if (frame.left) this.#add("left", frame.left);
    else {
      if (this.position !== null && frame.offset !== undefined)
        this.position = { ...this.position, offset: frame.offset };
      this.#add(frame.offset ?? "", frame.data);
    }
  }

  /** @param {string} reason */
  lost(reason) {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#again.hidden = false;
    this.#who.hidden = true;
    this.#state.textContent = reason;
  }

  /**
   * @param {string | number} mark
   * @param {unknown} data
   */
  #add(mark, data) {
    const time = new Date().toLocaleTimeString();
    this.#log.append(
      make(
        "div",
        {},
        make("span", { class: "type" }, `${time} ${mark} `),
        make("code", {}, shortened(JSON.stringify(data), LONGEST)),
      ),
    );
    while (this.#log.childElementCount > MOST) this.#log.firstElementChild?.remove();
    this.#log.scrollTop = this.#log.scrollHeight;
  }
}
