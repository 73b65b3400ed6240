/** What a call may throw, besides the `AbortError` and `TimeoutError` of an `AbortSignal`. */

/** Something that is wrong with the parameters of a call. */
export interface Problem {
  path: string;
  kind: "missing" | "unknown" | "type" | "value";
  expected?: string;
  got?: string;
  nearest?: string;
}

/** An error that the service responds with. Decide by its `code`; `value` is for people, or the method's own. */
export class TotoError extends Error {
  override name = "TotoError";

  constructor(
    readonly code: number,
    readonly value: unknown,
    /** Everything that is wrong with the parameters, if the code is 1003. */
    readonly problems: readonly Problem[] = [],
    /** The status of the response; undefined in a batch. */
    readonly status?: number,
    /** The seconds to wait before another attempt, if the service says so. */
    readonly retryAfter?: number,
  ) {
    super(typeof value === "string" ? value : (JSON.stringify(value) ?? `Error ${code}`));
  }

  /** Whether no signature shows that the service has sent it: it may be anyone's on the way. */
  unsigned = false;
}

/** The signature of a response is wrong, or is missing although the service must have signed it. */
export class InvalidSignatureError extends Error {
  override name = "InvalidSignatureError";
}

/** The response is not one of a service: it is a proxy's page, or a method's own bytes, which `fetch` returns. */
export class UnreadableResponseError extends Error {
  override name = "UnreadableResponseError";
}

/** There is no response. The call may have been done all the same. */
export class ConnectionError extends Error {
  override name = "ConnectionError";
}

/** The error in a response or in an entry of a batch. */
export function errorOf(error: unknown, status?: number, retryAfter?: string | null): TotoError {
  const { code, value, problems } = (error ?? {}) as Record<string, unknown>;
  if (typeof code !== "number") {
    throw new UnreadableResponseError(`The service responds with an error without a code: ${JSON.stringify(error)}`);
  }
  const wait = /^\d+$/.test(retryAfter ?? "") ? Number(retryAfter) : undefined;
  return new TotoError(code, value, Array.isArray(problems) ? (problems as Problem[]) : [], status, wait);
}
