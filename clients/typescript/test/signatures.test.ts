/** What is not signed as it must be is refused. */

import { afterEach, expect, test, vi } from "vitest";

import { Client, InvalidSignatureError, UnreadableResponseError, type Signing } from "../src/index.js";
import { intercept, SCHEMES, SERVICES, userOf } from "./service.js";

afterEach(() => vi.unstubAllGlobals());

const SIGNED = SCHEMES.filter((signing) => signing !== "off");
const KEYED = SCHEMES.filter((signing) => signing === "session" || signing === "toto1");

test.each(SIGNED)("%s: a response that was changed on its way", async (signing) => {
  const client = await userOf(signing);
  const before = client.session;
  intercept(async (response) => new Response((await response.text()).replace("Hello", "Hallo"), response));
  await expect(client.call("greet", { name: "Ada" })).rejects.toThrow(InvalidSignatureError);
  expect(client.session).toEqual(before);
});

test.each(KEYED)("%s: a result without a signature, and one of another call", async (signing) => {
  const client = await userOf(signing);
  intercept(async (response) => Response.json(await response.json()));
  await expect(client.call("greet")).rejects.toThrow("not signed");
  vi.unstubAllGlobals();
  const kept: Response[] = [];
  intercept((response, count) => (count === 1 ? (kept.push(response.clone()), response) : kept[0]!));
  await client.call("greet", { name: "Ada" });
  const again = client.call("greet", { name: "Eve" });
  if (signing === "session") await expect(again).rejects.toThrow(InvalidSignatureError);
  else expect(await again).toBe("Hello Ada"); // toto1 signs no nonce
});

test.each(KEYED)("%s: errors that are not signed", async (signing) => {
  const client = await userOf(signing);
  const answer = (code: number, status = 200) => {
    intercept(() => Response.json({ error: { code, value: "no" } }, { status }));
    return client.call("greet");
  };
  await expect(answer(1004)).rejects.toMatchObject({ code: 1004, unsigned: true });
  await expect(answer(1003, 413)).rejects.toMatchObject({ code: 1003, unsigned: true });
  await expect(answer(2001)).rejects.toMatchObject({ name: "InvalidSignatureError", cause: { code: 2001 } });
  intercept(() => new Response("<h1>Bad gateway</h1>", { status: 502 }));
  await expect(client.call("greet")).rejects.toThrow(UnreadableResponseError);
});

test.each(KEYED)("%s: bytes of a method's own are accepted if one says so", async (signing) => {
  const client = await userOf(signing);
  const raw = await client.fetch("raw", {}, { unsigned: true });
  expect([...raw.body]).toEqual([0, 1]);
  await expect(client.call("raw", {})).rejects.toThrow(/no result/);
});

test("what cannot work is refused at once", () => {
  expect(() => new Client(SERVICES.off, { signing: "md5" as Signing })).toThrow("write one of user_id");
  expect(() => new Client(SERVICES.off, { signing: "session", cookies: true })).toThrow("write signing: 'off'");
});
