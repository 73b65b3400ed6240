/** Channels over the library `centrifuge`, in JSON and in Protobuf, in every scheme of signatures. */

import * as centrifuge from "centrifuge";
import { expect, test } from "vitest";

import { channel, connect, nameOf, type Library } from "../src/channels.js";
import { type Client } from "../src/index.js";
import * as protobuf from "../src/protobuf.js";
import { clientOf, newUser, PASSWORD, SCHEMES, userOf } from "./service.js";

const WIRES: Record<string, Library> = { json: centrifuge, protobuf };
const QUICK = { minReconnectDelay: 10, maxReconnectDelay: 100 };

/** What the next event brings. */
function next(emitter: { once(event: string, listener: (context: any) => void): unknown }, event: string): Promise<any> {
  return new Promise((resolve) => void emitter.once(event, resolve));
}

/** Publish to a channel, by the method that may. */
function say(client: Client, channel: string, text: string): Promise<unknown> {
  return client.call("say", { channel, text });
}

const CASES = SCHEMES.flatMap((signing) => Object.keys(WIRES).map((wire) => [signing, wire] as const));

test.each(CASES)("%s, %s: a user subscribes, and recovers what was missed", async (signing, wire) => {
  const client = await userOf(signing);
  const connection = await connect(client, WIRES[wire]!, QUICK);
  const number = `${process.pid}${wire.length}`;
  const room = channel<{ text: string }, { room: number }>(connection, "room:{room}", { room: number });
  const got: string[] = [];
  room.on("publication", ({ data }) => got.push(data.text));
  const subscribed = next(room, "subscribed");
  room.subscribe();
  expect((await subscribed).data).toEqual({ room: Number(number), user: client.session?.user_id });
  const heard = next(room, "publication");
  await say(client, room.channel, "a");
  await heard;
  connection.disconnect();
  await say(client, room.channel, "b");
  const again = next(room, "subscribed");
  connection.connect(); // for which the session is signed anew
  expect(await again).toMatchObject({ wasRecovering: true, recovered: true });
  await expect.poll(() => got).toEqual(["a", "b"]);
  expect(channel(connection, "room:{room}", { room: number })).toBe(room);
  connection.disconnect();
});

test.each(Object.keys(WIRES))("%s: whatever has data has them as values", async (wire) => {
  const client = await userOf("off");
  const user = client.session?.user_id;
  const connection = await connect(client, WIRES[wire]!, { ...QUICK, data: { of: "mine" } });
  expect(connection).toBeInstanceOf(WIRES[wire]!.Centrifuge);
  expect((await next(connection, "connected")).data).toMatchObject({ user_id: user });
  expect((await connection.rpc("data.anything", { value: ["ä", null] })).data).toEqual({ value: ["ä", null] });
  await expect(connection.rpc("data.anything?timeout=x", {})).rejects.toMatchObject({ code: 1003 });
  const told = next(connection, "message");
  await connection.send({ method: "hail" });
  expect((await told).data).toEqual({ hello: "there" });

  const options = { data: { of: "mine" }, getData: async () => ({ of: "mine" }) };
  const crowd = channel<{ text: string }, { topic: string }>(connection, "crowd:{crowd}", { crowd: wire }, options);
  const seen: unknown[] = [];
  for (const event of ["join", "leave"] as const) {
    crowd.on(event, ({ info }) => seen.push([event, info.user, info.chanInfo]));
  }
  const subscribed = next(crowd, "subscribed");
  crowd.subscribe();
  expect((await subscribed).data).toEqual({ topic: wire });
  const heard = next(crowd, "publication");
  await crowd.publish({ text: "a" });
  expect(await heard).toMatchObject({ channel: `crowd:${wire}`, data: { text: "a" }, offset: 1 });
  expect((await crowd.history({ limit: 9 })).publications).toMatchObject([
    { channel: `crowd:${wire}`, data: { text: "a" }, offset: 1 },
  ]);
  const other = await connect(clientOf("off"), WIRES[wire]!, QUICK);
  const same = channel(other, "crowd:{crowd}", { crowd: wire });
  same.subscribe();
  await same.ready();
  await expect.poll(() => seen).toContainEqual(["join", "", { colour: "green" }]);
  const { clients } = await crowd.presence();
  expect(Object.values(clients).map((each) => each.chanInfo)).toEqual([{ colour: "green" }, { colour: "green" }]);
  expect(Object.values(clients)[0]).not.toHaveProperty("connInfo");
  other.disconnect();
  await expect.poll(() => seen).toContainEqual(["leave", "", { colour: "green" }]);
  crowd.setData({ of: "another" });
  connection.setData({ of: "another" });
  crowd.unsubscribe();
  crowd.subscribe();
  await crowd.ready();
  connection.disconnect();
});

test("an API key, and nobody", async () => {
  const user = await userOf("session");
  const { key } = await user.call<{ key: string }>("account.api_keys.create", { name: "robot", scopes: ["*"] });
  for (const [client, expected] of [
    [clientOf("session", { apiKey: key }), user.session?.user_id],
    [clientOf("session"), ""],
  ] as const) {
    const connection = await connect(client, centrifuge, QUICK);
    const news = channel(connection, "news");
    const subscribed = next(news, "subscribed");
    news.subscribe();
    expect((await subscribed).data).toEqual({ user: expected });
    connection.disconnect();
  }
});

test("a session that has ended is not shown again and again", async () => {
  const [first, second, user] = [clientOf(), clientOf(), newUser()];
  await first.createAccount(user, PASSWORD);
  await second.login(user, PASSWORD);
  const connection = await connect(first, centrifuge, QUICK);
  await connection.ready();
  connection.disconnect();
  await second.call("account.update", { password: PASSWORD, new_password: "battery staple" });
  const ended = next(connection, "disconnected");
  connection.connect();
  expect((await ended).code).toBe(1); // "unauthorized", by the library itself
});

test("names of channels", () => {
  expect(nameOf("room:{room}:{a}-x", { room: 7, a: "b.c" })).toBe("room:7:b.c-x");
  for (const room of ["", "7:8", "a b", "{a}", undefined]) {
    expect(() => nameOf("room:{room}", { room })).toThrow("room:{room}: room: write letters");
  }
});
