/** Who is logged in, and the forms to log in and out. */

import { listedScopes } from "./caller.js";
import { byId, fill, make, newId, shortened } from "./dom.js";
import { explained } from "./errors.js";
import { jsonCall } from "./outgoing.js";
import { obstacle } from "./signing.js";

/** @typedef {import("./types.js").Service} Service */
/** @typedef {import("./exchange.js").Line} Line */

export class LoginBar {
  #service;
  #line;
  #place = byId("session");
  #problem = make("div", { role: "alert" });

  /**
   * @param {Service} service
   * @param {Line} line
   * @param {string | null} user
   */
  constructor(service, line, user) {
    this.#service = service;
    this.#line = line;
    const wasInside = this.#place.contains(document.activeElement);
    fill(this.#place, user === null ? this.#loggedOut() : this.#loggedIn(user));
    if (wasInside) /** @type {HTMLElement | null} */ (this.#place.querySelector("button, summary"))?.focus();
  }

  /** @param {string} user */
  #loggedIn(user) {
    const { logout } = this.#service.accounts;
    const leave = async () => {
      if (logout !== undefined && this.#line.sessions.current?.bearer === undefined)
        await this.#call(logout, {});
      this.#line.sessions.forget();
    };
    const button = make("button", { type: "button", class: "quiet", onclick: () => void leave() }, "Log out");
    const { scopes } = this.#service.caller;
    const key =
      scopes === null
        ? null
        : make("span", { class: "help" }, `with an API key for ${shortened(listedScopes(scopes), 200)}`);
    return make("div", { class: "row" }, make("span", { id: "user" }, user), key, button);
  }

  #loggedOut() {
    const { login, create } = this.#service.accounts;
    const problem = obstacle(this.#service.signing);
    const name = input("User", "text", "username");
    const password = input("Password", "password", "current-password");
    const values = () => ({ user_id: name.main.value, password: password.main.value });
    const form = make(
      "form",
      { onsubmit: (/** @type {Event} */ event) => this.#submit(event, login ?? "", values()) },
      name.element,
      password.element,
      make(
        "div",
        { class: "row" },
        make("button", { type: "submit" }, "Log in"),
        create === undefined
          ? null
          : make(
              "button",
              {
                type: "button",
                class: "quiet",
                onclick: (/** @type {Event} */ event) => this.#submit(event, create, values()),
              },
              "Create the account",
            ),
      ),
    );
    return make(
      "details",
      { class: "login" },
      make("summary", {}, "Log in"),
      make(
        "div",
        { class: "box" },
        problem === "" ? null : make("p", { class: "problem" }, problem),
        login === undefined
          ? make("p", { class: "help" }, "The service has no method for logins.")
          : problem === ""
            ? form
            : null,
        this.#problem,
        this.#keyForm(),
      ),
    );
  }

  /** An API key instead of a login. */
  #keyForm() {
    const key = input("Or an API key", "password", "off");
    const use = (/** @type {Event} */ event) => {
      event.preventDefault();
      if (key.main.value !== "")
        this.#line.sessions.set({ session_id: "", user_id: "", expires: 0, key: "", bearer: key.main.value });
    };
    return make(
      "form",
      { onsubmit: use },
      key.element,
      make("div", { class: "row" }, make("button", { type: "submit", class: "quiet" }, "Use the key")),
    );
  }

  /**
   * @param {Event} event
   * @param {string} method
   * @param {object} parameters
   */
  async #submit(event, method, parameters) {
    event.preventDefault();
    const { error, failure } = await this.#call(method, parameters);
    const ticket = error?.ticket;
    if (typeof ticket === "string") fill(this.#problem, this.#secondStep(ticket));
    else if (error !== undefined) fill(this.#problem, explained(error, this.#service));
    else if (failure !== "") fill(this.#problem, make("p", { class: "problem" }, failure));
  }

  /** @param {string} ticket */
  #secondStep(ticket) {
    const code = input("Code of the authenticator app", "text", "one-time-code");
    const method = this.#service.accounts.second_step;
    if (method === undefined)
      return make("p", { class: "problem" }, "The service has no method for the second step.");
    const submit = (/** @type {Event} */ event) =>
      this.#submit(event, method, { ticket, code: code.main.value });
    setTimeout(() => code.main.focus());
    return make(
      "form",
      { onsubmit: submit },
      code.element,
      make("div", { class: "row" }, make("button", { type: "submit" }, "Finish")),
    );
  }

  /**
   * What is wrong after a call: the service's error, or why it counts for nothing.
   * @param {string} method
   * @param {object} parameters
   * @returns {Promise<{error?: import("./types.js").CallError | undefined, failure: string}>}
   */
  async #call(method, parameters) {
    fill(this.#problem);
    const { message, failure, status } = await this.#line.send(
      jsonCall(this.#service, method, JSON.stringify(parameters)),
    );
    if (message !== null) return { error: message.error, failure };
    return { failure: failure || `The response is not one of the service: status ${status}.` };
  }
}

/**
 * @param {string} label
 * @param {string} type
 * @param {string} autocomplete
 */
function input(label, type, autocomplete) {
  const main = make("input", {
    id: newId(),
    type,
    autocomplete,
    spellcheck: "false",
    autocapitalize: "none",
  });
  return { main, element: make("div", { class: "field" }, make("label", { for: main.id }, label), main) };
}
