/** Sends requests with the session, signed, and reads the responses. */

import { textOf } from "./bytes.js";
import { moment, schemeOf } from "./signing.js";

/** @typedef {import("./types.js").Outgoing} Outgoing */
/** @typedef {import("./types.js").Exchange} Exchange */
/** @typedef {import("./types.js").Session} Session */
/** @typedef {import("./session.js").SessionKeeper} SessionKeeper */

/** The path of the service: this module is two below it. */
export const ROOT = new URL("..", import.meta.url).href;

export class Line {
  /** The service's option of that name. */
  signing = "off";
  sessions;

  /** @param {SessionKeeper} sessions */
  constructor(sessions) {
    this.sessions = sessions;
  }

  /**
   * Send a request. Never throws: what went wrong is in the `failure`.
   * @param {Outgoing} outgoing
   * @param {AbortSignal | null} [signal]
   * @param {RequestCredentials} [credentials] whether cookies are sent, and kept
   * @returns {Promise<Exchange>}
   */
  async send(outgoing, signal = null, credentials = "same-origin") {
    const session = this.sessions.current;
    const scheme = schemeOf(this.signing);
    const { parts, headers } = await this.#signed(outgoing, session);
    const request = { ...outgoing, headers };
    const started = performance.now();
    try {
      const response = await fetch(outgoing.url, {
        method: outgoing.verb,
        headers,
        body: outgoing.verb === "POST" ? outgoing.body : null,
        credentials,
        redirect: "manual",
        cache: "no-store",
        signal,
      });
      const body = new Uint8Array(await response.arrayBuffer());
      const milliseconds = performance.now() - started;
      const text = textOf(body);
      const message = messageOf(response.headers.get("content-type"), text);
      // What a method answers with of its own, maybe a stranger's text, logs nobody in.
      const shown = outgoing.isRaw ? null : (message?.session ?? null);
      const given = response.headers.get("x-toto-hmac");
      const expected = await expectedOf(scheme, parts, [session, shown], body);
      const isProven = expected.length === 0 || (given !== null && expected.includes(given));
      if (isProven) this.sessions.adopt(shown, session, outgoing.named ?? []);
      const failure =
        response.type === "opaqueredirect"
          ? "It leads elsewhere: browsers do not tell scripts where."
          : shown !== null && !isProven
            ? "Its session is not taken over, as nothing proves that it is the service's."
            : "";
      const signature = judged(given, expected);
      return {
        request,
        status: response.status,
        headers: [...response.headers],
        body,
        text,
        message,
        milliseconds,
        signature,
        failure,
      };
    } catch (error) {
      const milliseconds = performance.now() - started;
      const failure = signal?.aborted
        ? "You have stopped it; the service may have carried it out."
        : `No response: ${error}`;
      return {
        request,
        status: 0,
        headers: [],
        body: new Uint8Array(),
        text: "",
        message: null,
        milliseconds,
        signature: "",
        failure,
      };
    }
  }

  /**
   * What shows the session to a socket in its first frame; null if a cookie does, or nothing is there to show.
   * @param {URL} url
   */
  async firstFrame(url) {
    const session = this.sessions.current;
    if (session === null || session.session_id === "") return null;
    const request = {
      verb: /** @type {const} */ ("GET"),
      url: url.href,
      contentType: "",
      body: new Uint8Array(),
      headers: {},
      shown: "",
    };
    const { headers } = await this.#signed(request, session);
    return {
      session_id: session.session_id,
      timestamp: headers["x-toto-timestamp"],
      nonce: headers["x-toto-nonce"],
      signature: headers["x-toto-hmac"],
    };
  }

  /**
   * The headers of a request, and what its signature covers.
   * @param {Outgoing} outgoing
   * @param {Session | null} session
   */
  async #signed({ verb, url, contentType, body, headers: own }, session) {
    const scheme = schemeOf(this.signing);
    /** @type {Record<string, string>} */
    const headers = { ...own };
    if (contentType !== "") headers["content-type"] = contentType;
    const { pathname, search } = new URL(url);
    const sessionId = session?.session_id ?? "";
    const parts = {
      verb,
      target: pathname + search,
      contentType,
      sessionId,
      body,
      ...moment(scheme, session),
    };
    if (session?.bearer !== undefined) headers["authorization"] = `Bearer ${session.bearer}`;
    else if (session !== null) {
      if (sessionId !== "") headers["x-toto-session-id"] = sessionId;
      const signature = scheme === null ? "" : await scheme.request(parts, session);
      if (signature !== "") headers["x-toto-hmac"] = signature;
      if (parts.nonce !== "") {
        headers["x-toto-timestamp"] = parts.timestamp;
        headers["x-toto-nonce"] = parts.nonce;
      }
    }
    return { parts, headers };
  }
}

/**
 * The message of a response; null if it has not the form of the service's, as methods may answer with JSON of their own.
 * @param {string | null} contentType
 * @param {string | null} text
 * @returns {import("./types.js").Message | null}
 */
function messageOf(contentType, text) {
  if (text === null || !/^application\/json\b/.test(contentType ?? "")) return null;
  try {
    const value = JSON.parse(text);
    const isMessage = isObject(value) && (!("error" in value) || typeof value.error?.code === "number");
    return isMessage ? value : null;
  } catch {
    return null;
  }
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The signatures that a response may have; none if this page cannot tell. The session of the request signs, or the
 * one in the response: which of them is a matter of the scheme, and of whether the first has ended.
 * @param {import("./signing.js").Scheme | null} scheme
 * @param {import("./signing.js").Parts} parts of the request
 * @param {(Session | null)[]} signers
 * @param {Uint8Array<ArrayBuffer>} body
 */
async function expectedOf(scheme, parts, signers, body) {
  const found = signers.map((each) => (scheme && each ? scheme.response(parts, each, body) : ""));
  return (await Promise.all(found)).filter((each) => each !== "");
}

/**
 * @param {string | null} given
 * @param {string[]} expected
 */
function judged(given, expected) {
  if (given === null) return "not signed";
  if (expected.length === 0) return "signed, which this page cannot verify";
  return expected.includes(given)
    ? "signed, and the signature is right"
    : "signed, and the signature is WRONG";
}
