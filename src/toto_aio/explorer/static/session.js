/** The session of the page. It is kept as long as its tab, and no other tab has it. */

/** @typedef {import("./types.js").Session} Session */

export class SessionKeeper {
  /** @type {Session | null} */
  #session = null;
  #name;
  /** Told when it is another user's. @type {() => void} */
  onchange = () => {};

  /** @param {string} root the path of the service: one origin may have several */
  constructor(root) {
    this.#name = `toto-explorer ${root}`;
    try {
      this.#session = JSON.parse(sessionStorage.getItem(this.#name) ?? "null");
    } catch {
      this.#session = null; // there is no storage, or it is not ours
    }
  }

  get current() {
    return this.#session;
  }

  /** @param {Session | null} session */
  set(session) {
    const before = this.#session;
    this.#session = session;
    try {
      if (session === null) sessionStorage.removeItem(this.#name);
      else sessionStorage.setItem(this.#name, JSON.stringify(session));
    } catch {
      // It lasts as long as the page.
    }
    const isOther = (before?.user_id ?? "") !== (session?.user_id ?? "");
    if (isOther || before?.bearer !== session?.bearer) this.onchange();
  }

  /** Leave the session, which may be in a cookie alone. */
  forget() {
    if (this.#session === null) this.onchange();
    else this.set(null);
  }

  /**
   * Take over the session of a response, unless it is that of a parameter.
   * @param {any} shown
   * @param {Session | null} used the session of the request
   * @param {unknown[]} named the session ids among the parameters
   */
  adopt(shown, used, named) {
    if (typeof shown !== "object" || shown === null || typeof shown.user_id !== "string") return;
    if (used?.bearer !== undefined && !("session_id" in shown)) return; // that of the API key
    const { session_id = "", user_id, expires = 0, key = "" } = shown;
    if (session_id !== "" && named.includes(session_id)) return;
    const same =
      this.#session !== null && this.#session.session_id === session_id && this.#session.user_id === user_id;
    this.set({ session_id, user_id, expires, key: key || (same ? (this.#session?.key ?? "") : "") });
  }
}
