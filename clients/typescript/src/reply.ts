/** A response as it was received. */

import { json, type Bytes, type Codec } from "./codec.js";
import { isMessage, type Message } from "./message.js";
import { readSession, type Session } from "./session.js";
import type { Received } from "./transport.js";

export interface Reply extends Received {
  contentType: string;
  /** The result, error or batch; null if the body is something else. */
  message: Message | null;
  session: Session | null;
}

/**
 * Throws an `UnreadableResponseError` for a session that is none. One without an id is in a cookie, or that of an API
 * key, which is none of a client's.
 */
export function readReply(received: Received, codec: Codec, cookies: boolean): Reply {
  const contentType = (received.header("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  const message = decoded([json, codec], contentType, received.body);
  const shown = message?.["session"] ?? null;
  const isNone = shown === null || (!cookies && typeof shown === "object" && !("session_id" in shown));
  return { ...received, contentType, message, session: isNone ? null : readSession(shown) };
}

function decoded(codecs: readonly Codec[], contentType: string, body: Bytes): Message | null {
  try {
    const value = codecs.find((codec) => codec.contentType === contentType)?.decode(body);
    return isMessage(value) ? value : null;
  } catch {
    return null;
  }
}
