/** A request with the headers of its session, signed. */

import { hex } from "./bytes.js";
import type { Bytes } from "./codec.js";
import type { Session } from "./session.js";
import type { Scheme, SignedParts } from "./signing.js";

export interface Unsigned {
  verb: "GET" | "POST";
  url: string;
  contentType: string;
  body: Bytes;
  headers?: Record<string, string>;
}

export interface ComposedRequest extends Unsigned {
  headers: Record<string, string>;
  session: Session | null;
  parts: SignedParts;
  /** Whether it has a signature. */
  isSigned: boolean;
}

export async function compose(
  request: Unsigned,
  scheme: Scheme | null,
  session: Session | null,
): Promise<ComposedRequest> {
  const headers: Record<string, string> = { ...request.headers };
  if (request.contentType !== "") headers["content-type"] = request.contentType;
  const parts = partsOf(request, scheme, session);
  if (session !== null) {
    if (session.session_id !== "") headers["x-toto-session-id"] = session.session_id;
    if (parts.nonce !== "") {
      headers["x-toto-timestamp"] = parts.timestamp;
      headers["x-toto-nonce"] = parts.nonce;
    }
  }
  const signature = session === null ? null : ((await scheme?.request(parts, session)) ?? null);
  if (signature !== null) headers["x-toto-hmac"] = signature;
  return { ...request, headers, session, parts, isSigned: signature !== null };
}

function partsOf({ verb, url, contentType, body }: Unsigned, scheme: Scheme | null, session: Session | null) {
  const { pathname, search } = new URL(url);
  const counts = scheme !== null && scheme.counts && session !== null;
  return {
    verb,
    target: pathname + search,
    contentType,
    sessionId: session?.session_id ?? "",
    timestamp: counts ? String(Math.floor(Date.now() / 1000)) : "",
    nonce: counts ? hex(crypto.getRandomValues(new Uint8Array(16))) : "",
    body,
  };
}
