/** The signature schemes of the service, by WebCrypto: docs/signatures.md specifies them. */

import { base64, fromBase64, hex, joined, utf8 } from "./bytes.js";

/** @typedef {import("./bytes.js").Bytes} Bytes */
/** @typedef {import("./types.js").Session} Session */

/**
 * What a scheme may sign of a request; `target` is the path with the query.
 * @typedef {object} Parts
 * @property {string} verb
 * @property {string} target
 * @property {string} contentType
 * @property {string} sessionId
 * @property {string} timestamp
 * @property {string} nonce
 * @property {Bytes} body
 */

/**
 * @typedef {object} Scheme
 * @property {boolean} keyed whether each session has a key
 * @property {boolean} counts whether a request has a timestamp and a nonce
 * @property {(parts: Parts, session: Session) => Promise<string>} request "" leaves a request unsigned
 * @property {(parts: Parts, session: Session, body: Bytes) => Promise<string>} response
 */

/** @type {Record<string, Scheme>} */
const SCHEMES = {
  user_id: {
    keyed: false,
    counts: false,
    request: async ({ body }, { user_id }) =>
      user_id && body.length ? hmac("SHA-1", utf8(user_id), body) : "",
    response: async (_, { user_id }, body) => (user_id ? hmac("SHA-1", utf8(user_id), body) : ""),
  },
  toto1: {
    keyed: true,
    counts: false,
    request: async ({ verb, target, body }, { key }) =>
      key ? hmac("SHA-1", utf8(key), joined(utf8(verb + target), body)) : "",
    response: async (_, { key, session_id }, body) =>
      key && session_id ? hmac("SHA-1", utf8(key), joined(utf8(session_id), body)) : "",
  },
  session: {
    keyed: true,
    counts: true,
    request: async (parts, { key }) => {
      const { verb, target, contentType, sessionId, timestamp, nonce, body } = parts;
      const signed = prefixed(verb, target, contentType, sessionId, timestamp, nonce, await digest(body));
      return key ? hmac("SHA-256", fromBase64(key), signed) : "";
    },
    response: async ({ nonce }, { key, session_id }, body) =>
      key && session_id
        ? hmac("SHA-256", fromBase64(key), prefixed(nonce, session_id, await digest(body)))
        : "",
  },
};

/**
 * The scheme of the service's option; null if nothing is signed, or this browser cannot.
 * @param {string} signing
 * @returns {Scheme | null}
 */
export function schemeOf(signing) {
  return globalThis.crypto?.subtle === undefined ? null : (SCHEMES[signing] ?? null);
}

/**
 * Why nobody can log in from this page; "" if they can.
 * @param {string} signing
 */
export function obstacle(signing) {
  if (signing === "unknown")
    return "The service has a signature scheme of its own, which this page does not know.";
  if (SCHEMES[signing]?.keyed && schemeOf(signing) === null) {
    return "Requests are signed here, and browsers sign on pages of https:// and of localhost only.";
  }
  return "";
}

/**
 * What a request of this moment needs besides.
 * @param {Scheme | null} scheme
 * @param {Session | null} session
 */
export function moment(scheme, session) {
  if (!scheme?.counts || !session?.key) return { timestamp: "", nonce: "" };
  const nonce = hex(crypto.getRandomValues(new Uint8Array(16)));
  return { timestamp: String(Math.floor(Date.now() / 1000)), nonce };
}

/**
 * The parts, each as its length in bytes, a colon and its bytes.
 * @param {...string} parts
 */
function prefixed(...parts) {
  return joined(...parts.map(utf8).flatMap((part) => [utf8(`${part.length}:`), part]));
}

/** @param {Bytes} body */
async function digest(body) {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", body)));
}

/**
 * @param {string} hash
 * @param {Bytes} secret
 * @param {Bytes} message
 */
async function hmac(hash, secret, message) {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash }, false, ["sign"]);
  return base64(new Uint8Array(await crypto.subtle.sign("HMAC", key, message)));
}
