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

/** Throws an `UnreadableResponseError` for a session that is none. */
export function readReply(received: Received, codec: Codec): Reply {
  const contentType = (received.header("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  const message = decoded([json, codec], contentType, received.body);
  const shown = message?.["session"] ?? null;
  return { ...received, contentType, message, session: shown === null ? null : readSession(shown) };
}

function decoded(codecs: readonly Codec[], contentType: string, body: Bytes): Message | null {
  try {
    const value = codecs.find((codec) => codec.contentType === contentType)?.decode(body);
    return isMessage(value) ? value : null;
  } catch {
    return null;
  }
}
