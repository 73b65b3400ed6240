/** Calls that are made together: they are collected, and sent in one request. */

import type { Call, Outcome } from "./message.js";
import type { Parameters } from "./form.js";

export interface BatchOptions {
  /** The milliseconds for which calls are collected; by default those that are made without a pause. */
  delay?: number;
  /** The most calls in a request: `batch_limit` of the service, 50 by default. */
  size?: number;
}

type SendBatch = (calls: Record<string, Call>) => Promise<Record<string, Outcome>>;

interface Waiting {
  call: Call;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** Made by `client.queue()`. The calls of a request are done in the order in which they were made. */
export class BatchQueue {
  #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #send: SendBatch;
  readonly #delay: number;
  readonly #size: number;

  constructor(send: SendBatch, { delay = 0, size = 50 }: BatchOptions = {}) {
    this.#send = send;
    this.#delay = delay;
    this.#size = size;
  }

  /** Call a method in the next request. */
  call<Result = unknown>(method: string, parameters: Parameters = {}): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.push({
        call: { method, parameters },
        resolve: resolve as (result: unknown) => void,
        reject,
      });
      if (this.#waiting.length >= this.#size) void this.flush();
      else this.#timer ??= setTimeout(() => void this.flush(), this.#delay);
    });
  }

  /** Send what is waiting now. Never throws: each call has its own result or error. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const sent = this.#waiting.splice(0);
    if (sent.length === 0) return;
    const digits = String(sent.length).length;
    const idOf = (index: number) => String(index).padStart(digits, "0"); // the service sorts them as text
    try {
      const outcomes = await this.#send(Object.fromEntries(sent.map(({ call }, index) => [idOf(index), call])));
      sent.forEach(({ resolve, reject }, index) => {
        const { result, error } = outcomes[idOf(index)]!;
        if (error === undefined) resolve(result);
        else reject(error);
      });
    } catch (error) {
      for (const { reject } of sent) reject(error);
    }
  }
}
