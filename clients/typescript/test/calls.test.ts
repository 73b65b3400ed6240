/** Calls: errors, batches, files, MessagePack, time limits and further attempts. */

import { decode, encode } from "@msgpack/msgpack";
import { afterEach, expect, test, vi } from "vitest";

import { ConnectionError, msgpack, TotoError, type Client } from "../src/index.js";
import { clientOf, intercept, userOf } from "./service.js";

afterEach(() => vi.unstubAllGlobals());

/** Lose the first responses: the service has done the calls. */
function lose(responses: number): void {
  intercept((response, count) => {
    if (count <= responses) throw new TypeError("fetch failed");
    return response;
  });
}

/** How often the service was called by this name. */
async function counted(client: Client, name: string): Promise<unknown> {
  return client.call("counted", { name });
}

test("an error has a code, a text and every problem", async () => {
  const thrown = await clientOf().call("notes.add", { titel: "Milk", tags: 3 }).catch((error: unknown) => error);
  const error = thrown as TotoError;
  expect(error).toBeInstanceOf(TotoError);
  expect(error.code).toBe(1003);
  expect(error.message).toContain("did you mean title?");
  expect(error.problems).toContainEqual(expect.objectContaining({ path: "titel", kind: "unknown", nearest: "title" }));
  expect(error.problems).toHaveLength(3);
  await expect(clientOf().call("notes.missing", { number: 5 })).rejects.toMatchObject({ code: 2001 });
});

test("a batch, and a queue that makes one of calls", async () => {
  const client = await userOf();
  const outcomes = await client.batch({
    a: { method: "notes.mine" },
    b: { method: "no.such.method" },
    c: { method: "greet", parameters: { name: "Ada" } },
  });
  expect(outcomes["a"]?.result).toBe(client.session?.user_id);
  expect(outcomes["b"]?.error?.code).toBe(1001);
  expect(outcomes["c"]).toEqual({ result: "Hello Ada" });
  let requests = 0;
  intercept((response) => (requests++, response));
  const queue = client.queue({ size: 12 });
  const order = Array.from({ length: 13 }, (_, index) => queue.call<number[]>("ordered", { batch: "a", index }));
  const results = await Promise.allSettled([...order, queue.call("no.such.method")]);
  expect(requests).toBe(2);
  expect(results.at(-1)).toMatchObject({ status: "rejected", reason: { code: 1001 } });
  expect(await client.call("ordered", { batch: "a", index: 13 })).toEqual(Array.from({ length: 14 }, (_, n) => n));
  intercept(() => Promise.reject(new TypeError("fetch failed")));
  await expect(queue.call("greet")).rejects.toThrow(ConnectionError);
});

test("files are sent as a signed form", async () => {
  const client = await userOf();
  const progress: number[][] = [];
  const file = new File([new Uint8Array(5000)], "ä.bin");
  const onProgress = (...numbers: number[]) => progress.push(numbers);
  const result = await client.call("data.upload", { file, copies: 2 }, { onProgress });
  expect(result).toEqual({ size: 5000, copies: 2 });
  expect(progress.at(-1)?.[0]).toBe(progress.at(-1)?.[1]);
  await expect(client.call("data.upload", { file, copies: { a: 1 } })).rejects.toThrow("copies: forms");
});

test("MessagePack has bytes", async () => {
  const client = await userOf("session", { codec: msgpack({ encode, decode }) });
  expect(await client.call("data.encode", { data: new Uint8Array([1, 2, 255]) })).toEqual(new Uint8Array([255, 2, 1]));
  expect((await client.batch({ a: { method: "greet" } }))["a"]).toEqual({ result: "Hello you" });
  expect(await client.get("math.kind", { which: "b" })).toBe("b"); // which is answered in JSON
});

test("a call ends with its time, or with its signal", async () => {
  const client = clientOf("off");
  await expect(client.call("slow", {}, { timeout: 50 })).rejects.toMatchObject({ name: "TimeoutError" });
  const control = new AbortController();
  const call = client.call("slow", {}, { signal: control.signal, safe: true });
  setTimeout(() => control.abort(), 20);
  await expect(call).rejects.toMatchObject({ name: "AbortError" });
  await expect(client.call("greet", {}, { signal: control.signal })).rejects.toMatchObject({ name: "AbortError" });
});

test("only what may be done twice is sent again", async () => {
  const client = await userOf("session", { retries: { delay: 1 } });
  lose(1);
  await expect(client.call("count", { name: "unsafe" })).rejects.toThrow(ConnectionError);
  expect(await counted(client, "unsafe")).toBe(1);
  lose(2);
  expect(await client.call("count", { name: "safe" }, { safe: true })).toBe(3);
  lose(1);
  expect(await client.call("count", { name: "keyed" }, { idempotencyKey: crypto.randomUUID() })).toBeGreaterThan(0);
  lose(1);
  expect(await client.get("math.kind")).toBe("a");
  lose(3);
  await expect(client.call("greet", {}, { safe: true })).rejects.toThrow(ConnectionError);
});

test("a user's call of an idempotent method has a key of its own", async () => {
  const client = await userOf("session", { retries: { delay: 1 } });
  const other = clientOf("session", { retries: { delay: 1 } });
  lose(2);
  expect(await client.call("count_once", { name: "once" }, { idempotent: true })).toBe(1);
  expect(await counted(client, "once")).toBe(1);
  lose(1);
  await expect(other.call("count_once", { name: "by nobody" }, { idempotent: true })).rejects.toThrow(ConnectionError);
  expect(await counted(other, "by nobody")).toBe(1);
  expect(await other.call("count_once", { name: "by nobody" }, { idempotent: true })).toBe(2); // without a key
});

test("a call that the service asks to repeat", async () => {
  const client = clientOf("off", { retries: { delay: 1, longest: 1500 } });
  const refuse = (code: number, status: number, headers = {}) =>
    intercept((response, count) => (count > 1 ? response : Response.json({ error: { code } }, { status, headers })));
  refuse(1011, 503);
  expect(await client.call("greet", {}, { safe: true })).toBe("Hello you");
  refuse(1011, 503);
  await expect(client.call("greet")).rejects.toMatchObject({ code: 1011, status: 503 });
  refuse(1012, 429, { "retry-after": "1" });
  expect(await client.call("greet", {}, { safe: true })).toBe("Hello you");
  refuse(1012, 429, { "retry-after": "9" });
  await expect(client.call("greet", {}, { safe: true })).rejects.toMatchObject({ code: 1012, retryAfter: 9 });
  refuse(2001, 400);
  await expect(client.call("greet", {}, { safe: true })).rejects.toMatchObject({ code: 2001 });
});

test("no response", async () => {
  intercept(() => Response.json({ hello: 1 }));
  await expect(clientOf("off").call("greet")).rejects.toMatchObject({ name: "UnreadableResponseError" });
});
