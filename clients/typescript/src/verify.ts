/** Whether a response is signed as its request demands. */

import { errorOf, InvalidSignatureError, UnreadableResponseError } from "./errors.js";
import type { Message } from "./message.js";
import type { Reply } from "./reply.js";
import type { ComposedRequest } from "./request.js";
import type { Scheme } from "./signing.js";

export interface Accepted {
  /** The session ids in the parameters: a session that a method takes from there signs nothing. */
  named: readonly unknown[];
  /** The call logs in: the session before may have ended, and the new one signs instead. */
  logsIn?: boolean;
  /** Bytes of a method's own are accepted without a signature, as a service cannot sign streams. */
  unsigned?: boolean;
}

const UNREAD = [400, 408, 413];
const BEFORE_THE_SESSION = [1004, 1008, 1011];
const UNSIGNED =
  "The response is not signed, so anyone may have sent it. If the session has ended, log in again, or call forget().";

/**
 * False for a response that is accepted although nothing signs it: an error that a service cannot sign, or what
 * `accepted` names. Throws `InvalidSignatureError`, and `UnreadableResponseError` for what looks like a proxy's page.
 */
export async function verify(
  request: ComposedRequest,
  reply: Reply,
  scheme: Scheme | null,
  accepted: Accepted,
): Promise<boolean> {
  if (scheme === null || !scheme.keyed || !request.isSigned || request.session === null) {
    await verifyShown(request, reply, scheme, accepted);
    return true;
  }
  const given = reply.header("x-toto-hmac");
  if (given !== null) {
    if (given === (await scheme.response(request.parts, request.session, reply.body))) return true;
    if (!accepted.logsIn && scheme.counts) throw new InvalidSignatureError("The signature of the response is wrong");
    await verifyShown(request, reply, scheme, accepted);
    return true;
  }
  if (reply.message === null) {
    if (reply.status >= 400) {
      throw new UnreadableResponseError(`The response is not signed, and not one of a service: ${reply.status}`);
    }
    if (!accepted.unsigned) throw new InvalidSignatureError(`${UNSIGNED} (streams: fetch with unsigned: true)`);
  } else if (!isError(reply.message)) {
    throw new InvalidSignatureError(UNSIGNED);
  } else if (!accepted.logsIn && !cannotBeSigned(reply.message["error"], reply.status)) {
    const cause = errorOf(reply.message["error"], reply.status);
    throw new InvalidSignatureError(`${UNSIGNED} It claims error ${cause.code}.`, { cause });
  }
  return false;
}

/** Verify a response that is signed by the session in it, if there is one. */
async function verifyShown(
  request: ComposedRequest,
  reply: Reply,
  scheme: Scheme | null,
  accepted: Accepted,
): Promise<void> {
  const shown = reply.session;
  let session = shown ?? request.session;
  if (shown !== null && request.session !== null && shown.session_id === request.session.session_id) {
    if (shown.session_id !== "") session = request.session; // the service sends the key only once
  }
  if (scheme === null || session === null) return;
  const expected = await scheme.response(request.parts, session, reply.body);
  const given = reply.header("x-toto-hmac");
  if (expected === null || (given === null && (shown === null || accepted.named.includes(shown.session_id)))) return;
  if (given === null) {
    throw new InvalidSignatureError("The response is not signed: write the service's signing, as { signing: 'off' }");
  }
  if (given !== expected) throw new InvalidSignatureError("The signature of the response is wrong");
}

function isError(message: Message): boolean {
  return "error" in message && !("result" in message) && !("batch" in message);
}

/** Whether a service responds with this error before it has a session that could sign it. */
function cannotBeSigned(error: unknown, status: number): boolean {
  const { code } = (error ?? {}) as Record<string, unknown>;
  return code === 1003 ? UNREAD.includes(status) : BEFORE_THE_SESSION.includes(code as number);
}
