/** Channels over the library `centrifuge`, in every scheme of signatures. */

import * as centrifuge from "centrifuge";
import { expect, test } from "vitest";

import { channel, connect, nameOf } from "../src/channels.js";
import { type Client } from "../src/index.js";
import { clientOf, newUser, PASSWORD, SCHEMES, userOf } from "./service.js";

const QUICK = { minReconnectDelay: 10, maxReconnectDelay: 100 };

/** What the next event brings. */
function next(emitter: { once(event: string, listener: (context: any) => void): unknown }, event: string): Promise<any> {
  return new Promise((resolve) => void emitter.once(event, resolve));
}

/** Publish to a channel, by the method that may. */
function say(client: Client, channel: string, text: string): Promise<unknown> {
  return client.call("say", { channel, text });
}

test.each(SCHEMES)("%s: a user subscribes, and recovers what was missed", async (signing) => {
  const client = await userOf(signing);
  const connection = await connect(client, centrifuge, QUICK);
  const room = channel<{ text: string }, { room: number }>(connection, "room:{room}", { room: `${process.pid}1` });
  const got: string[] = [];
  room.on("publication", ({ data }) => got.push(data.text));
  const subscribed = next(room, "subscribed");
  room.subscribe();
  expect((await subscribed).data).toEqual({ room: Number(`${process.pid}1`), user: client.session?.user_id });
  const heard = next(room, "publication");
  await say(client, room.channel, "a");
  await heard;
  connection.disconnect();
  await say(client, room.channel, "b");
  const again = next(room, "subscribed");
  connection.connect(); // for which the session is signed anew
  expect(await again).toMatchObject({ wasRecovering: true, recovered: true });
  await expect.poll(() => got).toEqual(["a", "b"]);
  expect(channel(connection, "room:{room}", { room: `${process.pid}1` })).toBe(room);
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
