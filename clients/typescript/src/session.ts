/** The client's part of a session. Whoever has it acts as its user: keep it as you keep a password. */

import { UnreadableResponseError } from "./errors.js";

export interface Session {
  /** Its id; "" if a cookie has it, which no script can read. */
  session_id: string;
  /** The user; "" if the session is anonymous. */
  user_id: string;
  /** When it expires, in Unix seconds. */
  expires: number;
  /** The key for signatures in base64; "" unless the service signs by `session` or `toto1`. */
  key: string;
}

/** The session in a response. Throws `UnreadableResponseError`. */
export function readSession(shown: unknown): Session {
  const { session_id = "", user_id, expires, key = "" } = (shown ?? {}) as Record<string, unknown>;
  if (
    typeof session_id !== "string" ||
    typeof user_id !== "string" ||
    typeof expires !== "number" ||
    typeof key !== "string"
  ) {
    throw new UnreadableResponseError("The service responds with an invalid session");
  }
  return { session_id, user_id, expires, key };
}
