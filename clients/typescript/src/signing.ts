/** The signature schemes of the service, by WebCrypto. docs/signatures.md of toto_aio specifies them. */

import { base64, fromBase64, hex, joined, utf8 } from "./bytes.js";
import type { Bytes } from "./codec.js";
import type { Session } from "./session.js";

/** The service's option `signing`. */
export type Signing = "user_id" | "toto1" | "session" | "off";

/** The parts of a request that a scheme may sign; `target` is the path with the query. */
export interface SignedParts {
  verb: string;
  target: string;
  contentType: string;
  sessionId: string;
  timestamp: string;
  nonce: string;
  body: Bytes;
}

export interface Scheme {
  /** Whether each session has a key of its own, so that a signature proves something. */
  keyed: boolean;
  /** Whether a request has a timestamp and a nonce. */
  counts: boolean;
  /** The signature of a request; null leaves it unsigned. */
  request(parts: SignedParts, session: Session): Promise<string | null>;
  /** The signature that the response to a request must have; null if it needs none. */
  response(parts: SignedParts, session: Session, body: Bytes): Promise<string | null>;
}

export function schemeOf(signing: Signing): Scheme | null {
  if (!Object.hasOwn(SCHEMES, signing)) {
    throw new TypeError(`signing: write one of ${Object.keys(SCHEMES).join(", ")}, not ${signing}`);
  }
  const scheme = SCHEMES[signing];
  if (scheme !== null && globalThis.crypto?.subtle === undefined) {
    if (scheme.keyed) throw new TypeError("signing: browsers sign on pages of https:// and of localhost only");
    return null; // nobody demands these signatures
  }
  return scheme;
}

const userId: Scheme = {
  keyed: false,
  counts: false,
  request: async ({ body }, { user_id }) =>
    user_id !== "" && body.length > 0 ? hmac("SHA-1", utf8(user_id), body) : null,
  response: async (_, { user_id }, body) => (user_id !== "" ? hmac("SHA-1", utf8(user_id), body) : null),
};

const toto1: Scheme = {
  keyed: true,
  counts: false,
  request: async (parts, { key }) =>
    key !== "" ? hmac("SHA-1", utf8(key), joined(utf8(parts.verb + parts.target), parts.body)) : null,
  response: async (_, { key, session_id }, body) =>
    key !== "" ? hmac("SHA-1", utf8(key), joined(utf8(session_id), body)) : null,
};

const session: Scheme = {
  keyed: true,
  counts: true,
  async request(parts, { key }) {
    if (key === "") return null;
    const { verb, target, contentType, sessionId, timestamp, nonce, body } = parts;
    const message = lengthPrefixed(verb, target, contentType, sessionId, timestamp, nonce, await digest(body));
    return hmac("SHA-256", fromBase64(key), message);
  },
  async response({ nonce }, { key, session_id }, body) {
    if (key === "") return null;
    return hmac("SHA-256", fromBase64(key), lengthPrefixed(nonce, session_id, await digest(body)));
  },
};

const SCHEMES: Record<Signing, Scheme | null> = { user_id: userId, toto1, session, off: null };

/** The parts, each as its length in bytes, a colon and its bytes. */
function lengthPrefixed(...parts: string[]): Bytes {
  return joined(...parts.map(utf8).flatMap((part) => [utf8(`${part.length}:`), part]));
}

async function digest(body: Bytes): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", body)));
}

async function hmac(hash: string, secret: Bytes, message: Bytes): Promise<string> {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash }, false, ["sign"]);
  return base64(new Uint8Array(await crypto.subtle.sign("HMAC", key, message)));
}
