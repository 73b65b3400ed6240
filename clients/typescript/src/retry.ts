/** Further attempts of calls that may be made twice: safe ones, and those with an idempotency key. */

import { ConnectionError, TotoError } from "./errors.js";

export interface RetryOptions {
  /** The most attempts, with the first one. */
  attempts: number;
  /** The most milliseconds to wait before the second attempt; each further one may wait twice as long. */
  delay: number;
  /** The most milliseconds to wait, also if the service asks for more: then its error is thrown. */
  longest: number;
}

export const RETRIES: RetryOptions = { attempts: 3, delay: 200, longest: 10_000 };

const UNAVAILABLE = 1011;
const TOO_MANY = 1012;
const IN_FLIGHT = 1014;

/** What `attempt` gives, or the last error. Throws the reason of the signal while it waits. */
export async function retried<T>(
  attempt: () => Promise<T>,
  options: RetryOptions,
  signal: AbortSignal,
): Promise<T> {
  for (let made = 1; ; made++) {
    try {
      return await attempt();
    } catch (error) {
      const wait = waitAfter(error, made, options);
      if (wait === null || made >= options.attempts) throw error;
      await sleep(wait, signal);
    }
  }
}

/** The milliseconds to wait; null if another attempt cannot help. */
function waitAfter(error: unknown, made: number, { delay, longest }: RetryOptions): number | null {
  const random = Math.min(longest, Math.random() * delay * 2 ** (made - 1));
  if (error instanceof ConnectionError) return random;
  if (!(error instanceof TotoError)) return null;
  if (error.code === UNAVAILABLE || error.code === IN_FLIGHT) return random;
  if (error.code !== TOO_MANY) return null;
  const asked = (error.retryAfter ?? 0) * 1000 + random;
  return asked <= longest ? asked : null;
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
