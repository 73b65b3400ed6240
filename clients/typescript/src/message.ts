/** The members of requests and responses. */

import { errorOf, UnreadableResponseError, type TotoError } from "./errors.js";
import type { Parameters } from "./form.js";

/** A call in a batch. */
export interface Call {
  method: string;
  parameters?: Parameters;
  idempotency_key?: string;
}

/** The result of a call in a batch, or its error. */
export type Outcome = { result: unknown; error?: undefined } | { result?: undefined; error: TotoError };

/** A body of the service: an object with a result, an error or a batch. */
export type Message = Record<string, unknown>;

export function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && ["result", "error", "batch"].some((name) => name in value);
}

/** What the service says about a call of a batch. Throws `UnreadableResponseError`. */
export function outcomeOf(entry: unknown): Outcome {
  if (!isMessage(entry)) {
    throw new UnreadableResponseError(`The service responds to a call of the batch with ${JSON.stringify(entry)}`);
  }
  return "error" in entry ? { error: errorOf(entry["error"]) } : { result: entry["result"] };
}
