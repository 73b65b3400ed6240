/** Accounts and sessions, in every scheme of signatures. */

import { expect, test } from "vitest";

import { inMemory, inWebStorage, type Session } from "../src/index.js";
import { clientOf, newUser, PASSWORD, SCHEMES } from "./service.js";

test.each(SCHEMES)("%s: a login, calls with its session, and the end of it", async (signing) => {
  const [client, user] = [clientOf(signing), newUser()];
  await expect(client.call("notes.mine")).rejects.toMatchObject({ code: 1004 });
  const session = await client.createAccount(user, PASSWORD);
  expect(session.user_id).toBe(user);
  expect(session.key !== "").toBe(signing === "session" || signing === "toto1");
  expect(await client.call("notes.mine", { limit: 3 })).toBe(user);
  expect(await client.get("notes.find", { word: "milk & ä?", limit: 2 })).toEqual(["milk & ä?", "milk & ä?"]);
  expect(await client.call("data.anything", { value: "ä€𝄞" })).toEqual({ value: "ä€𝄞" });
  await client.logout();
  expect(client.session).toBeNull();
  await expect(client.login(user, "wrong horse")).rejects.toMatchObject({ code: 1005, name: "TotoError" });
  await client.login(user.toUpperCase(), PASSWORD);
  expect(await client.call("notes.mine")).toBe(user);
});

test.each(SCHEMES)("%s: a change of the password brings a new session", async (signing) => {
  const client = clientOf(signing);
  const { session_id } = await client.createAccount(newUser(), PASSWORD);
  await client.call("account.update", { password: PASSWORD, new_password: "battery staple" });
  expect(client.session?.session_id).not.toBe(session_id);
  expect(await client.call("notes.mine")).toBe(client.session?.user_id);
});

test.each(SCHEMES)("%s: an anonymous session", async (signing) => {
  const client = clientOf(signing);
  expect(await client.call("visit")).toBe(1);
  expect(await client.call("visit")).toBe(2);
  expect(client.session?.user_id).toBe("");
});

test("a session that is kept is used by the next client", async () => {
  const kept = new Map<string, string>();
  const web = {
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, text: string) => void kept.set(name, text),
    removeItem: (name: string) => void kept.delete(name),
  };
  for (const storage of [inMemory(), inWebStorage(web)]) {
    const first = clientOf("session", { storage });
    const { user_id } = await first.createAccount(newUser(), PASSWORD);
    const second = clientOf("session", { storage });
    expect(await second.call("notes.mine")).toBe(user_id);
    expect((await clientOf("session", { storage }).restore())?.user_id).toBe(user_id);
    await second.logout();
    expect(await storage.load()).toBeNull();
    await expect(first.call("notes.mine")).rejects.toMatchObject({ code: 1004, unsigned: true });
    await first.forget();
  }
  kept.set("toto-session", '{"session_id": 5}');
  expect(inWebStorage(web).load()).toBeNull();
});

test("calls before the storage has answered wait for it", async () => {
  const session = await clientOf().createAccount(newUser(), PASSWORD);
  const slow = { ...inMemory(), load: () => new Promise<Session>((done) => setTimeout(done, 20, session)) };
  const client = clientOf("session", { storage: slow });
  expect(await Promise.all([client.call("notes.mine"), client.call("notes.mine")])).toEqual([
    session.user_id,
    session.user_id,
  ]);
});

test.each(SCHEMES)("%s: an API key stands for its user, without a session", async (signing) => {
  const user = await clientOf(signing).createAccount(newUser(), PASSWORD);
  const owner = clientOf(signing, { storage: { ...inMemory(), load: () => user } });
  const made = await owner.call<{ key: string }>("account.api_keys.create", { name: "robot", scopes: ["*"] });
  const robot = clientOf(signing, { apiKey: made.key });
  expect(await robot.call("notes.mine")).toBe(user.user_id);
  expect(robot.session).toBeNull();
});

test("the session of a parameter is not taken over", async () => {
  const other = await clientOf("user_id").createAccount(newUser(), PASSWORD);
  const client = clientOf("user_id");
  expect(await client.call("token", { session_id: other.session_id })).toBe("you");
  expect(client.session).toBeNull();
});
