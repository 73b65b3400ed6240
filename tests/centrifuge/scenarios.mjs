// What the unmodified npm package `centrifuge` does with a service: run by test_clients.py, which directs it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [address, direct, packages, wire] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const { Centrifuge, State, SubscriptionState } = require(wire === "json" ? "centrifuge" : "centrifuge/build/protobuf");
const LIMIT = 60_000;

// Protobuf carries bytes: here they are JSON.
const pack = (value) => (wire === "json" ? value : new TextEncoder().encode(JSON.stringify(value)));
const unpack = (data) => (wire === "json" || data === undefined ? data : JSON.parse(new TextDecoder().decode(data)));

async function tell(what, of = "") {
  const response = await fetch(`${direct}/${what}?of=${encodeURIComponent(of)}`);
  assert.equal(response.status, 200, what);
  return response.json();
}

function connect(options = {}) {
  const patient = { timeout: LIMIT, maxServerPingDelay: LIMIT };
  // The stage tells a life of one second, and a client that cannot renew its token is disconnected after it.
  const renewing = { getToken: async () => options.token };
  const always = { minReconnectDelay: 10, maxReconnectDelay: 100, ...patient, ...renewing };
  const client = new Centrifuge(address, { ...always, ...options });
  client.seen = [];
  client.on("error", (context) => client.seen.push(`error ${context.error.code}`));
  client.on("connecting", (context) => client.seen.push(`connecting ${context.code}`));
  client.on("disconnected", (context) => client.seen.push(`disconnected ${context.code}`));
  client.connect();
  return client;
}

function subscribe(client, channel, options = {}) {
  const subscription = client.newSubscription(channel, { minResubscribeDelay: 10, maxResubscribeDelay: 100, ...options });
  subscription.got = [];
  subscription.begun = [];
  subscription.ended = [];
  subscription.on("publication", (context) => subscription.got.push(unpack(context.data).text));
  subscription.on("unsubscribed", (context) => subscription.ended.push(context.code));
  subscription.on("subscribed", (context) => subscription.begun.push(context));
  subscription.subscribe();
  return subscription;
}

async function until(condition) {
  const end = Date.now() + LIMIT;
  while (!condition()) {
    assert(Date.now() < end, `in time: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const scenarios = {
  async calls() {
    const client = connect({ token: await tell("token", "ada") });
    const [context] = await Promise.all([new Promise((resolve) => client.once("connected", resolve)), client.ready()]);
    assert.equal(unpack(context.data).user_id, "ada");
    assert.equal(unpack((await client.rpc("add", pack({ a: 2, b: 3 }))).data), 5);
    await assert.rejects(client.rpc("add", pack({ a: 2, b: "x" })), (error) => {
      assert.equal(error.code, 1003);
      assert.equal(JSON.parse(error.message).problems[0].path, "b");
      return true;
    });
    await assert.rejects(client.rpc("nothing", pack({})), { code: 1001, message: "Cannot call 'nothing'." });
    for (const _ of [1, 2]) {
      const counted = await client.rpc(`count?idempotency_key=${wire}`, pack({ name: wire }));
      assert.equal(unpack(counted.data), 1);
    }
    const told = new Promise((resolve) => client.once("message", resolve));
    client.send(pack({ method: "greet" }));
    assert.deepEqual(unpack((await told).data), { hello: "there" });
    client.startBatching();
    const sums = Array.from({ length: 40 }, (_, n) => client.rpc("add", pack({ a: n, b: 1 })));
    client.stopBatching();
    assert.deepEqual((await Promise.all(sums)).map((sum) => unpack(sum.data)), sums.map((_, n) => n + 1));
    client.disconnect();
  },

  async channels() {
    const client = connect({ token: await tell("token", "ada") });
    const room = subscribe(client, "room:7");
    await room.ready();
    assert.deepEqual(unpack(room.begun[0].data), { room: 7 });
    assert(room.begun[0].recoverable && room.begun[0].positioned);
    const before = (await room.history({ limit: 0 })).offset;
    for (const text of ["a", "b", "c"]) await room.publish(pack({ text, room: 9 }));
    await until(() => room.got.length === 3);
    assert.deepEqual(room.got, ["a", "b", "c"]);
    const { publications, offset, epoch } = await room.history({ limit: 2, reverse: true });
    assert.deepEqual(publications.map((each) => unpack(each.data).text), ["c", "b"]);
    assert.equal(Number(offset), Number(before) + 3);
    const since = await room.history({ limit: -1, since: { offset: Number(before) + 1, epoch } });
    assert.deepEqual(since.publications.map((each) => unpack(each.data).text), ["b", "c"]);
    await assert.rejects(client.history("room:8", { limit: 1 }), { code: 103 });
    await assert.rejects(room.publish(pack({ text: 5 })), { code: 107 });
    for (const [name, code] of [["closed:1", 5001], ["nothing", 102], ["room:x", 107]]) {
      const refused = subscribe(client, name);
      await until(() => refused.state === SubscriptionState.Unsubscribed);
      assert.deepEqual(refused.ended, [code], name);
    }
    room.unsubscribe();
    room.subscribe();
    await room.ready();
    client.disconnect();
  },

  async presence() {
    const client = connect({ token: await tell("token", "ada") });
    const room = subscribe(client, "room:8");
    const came = [], went = [];
    room.on("join", ({ info }) => came.push(info.user));
    room.on("leave", ({ info }) => went.push(info.user));
    await room.ready();
    const other = connect({ token: await tell("token", "eve") });
    await subscribe(other, "room:8").ready();
    await until(() => came.includes("eve"));
    const { clients } = await room.presence();
    assert.deepEqual(Object.values(clients).map((each) => each.user).sort(), ["ada", "eve"]);
    assert.deepEqual(Object.values(clients).map((each) => unpack(each.chanInfo)), [{ colour: "green" }, { colour: "green" }]);
    assert.deepEqual(await room.presenceStats(), { numClients: 2, numUsers: 2 });
    other.disconnect();
    await until(() => went.includes("eve"));
    client.disconnect();
  },

  async page() {
    if (wire !== "json") return;
    const text = readFileSync(`${packages}/../../docs/channels.md`, "utf8");
    const page = text.split("\n\n").find((each) => each.includes("new Centrifuge(")).replaceAll(/^ {4}/gm, "");
    assert.equal(page.trim().split("\n").length, 10);
    const lines = page.replace("wss://example.com/service/connection/websocket", address);
    const shown = [];
    let centrifuge;
    const Own = function (...options) { return (centrifuge = new Centrifuge(...options)); };
    const run = new Function("Centrifuge", "sessionId", "show", `return (async () => {${lines}})()`);
    await run(Own, await tell("token", "ada"), (data) => shown.push(data.text));
    await until(() => shown.includes("the sum is 5"));
    centrifuge.disconnect();
  },

  async recovery() {
    const client = connect({ token: await tell("token", "ada") });
    const room = subscribe(client, "room:7");
    await room.ready();
    for (let n = 0; n < 20; n++) {
      await tell("publish", n);
      if (n % 5 === 2) await tell("cut");
    }
    await until(() => room.got.length === 20);
    assert.deepEqual(room.got, Array.from({ length: 20 }, (_, n) => String(n)));
    assert(room.begun.slice(1).every((each) => each.wasRecovering && each.recovered));
    await tell("stop");
    await until(() => client.seen.includes("connecting 3001"));
    await tell("start");
    await tell("publish", 20);
    await until(() => room.got.length === 21);
    assert.equal(room.got[20], "20");
    assert(room.begun.at(-1).recovered);
    client.disconnect();
  },

  async sessions() {
    let asked = 0;
    const getToken = async () => (asked++, tell("token", "eve"));
    const client = connect({ token: await tell("token", "eve"), getToken });
    const room = subscribe(client, "room:7");
    await room.ready();
    await until(() => asked >= 2);
    assert.equal(client.state, State.Connected);
    assert.deepEqual(client.seen, ["connecting 0"]);
    client.disconnect();

    const ended = await tell("token", "bob");
    const short = connect({ token: ended });
    await short.ready();
    await tell("end", ended);
    await until(() => short.state === State.Disconnected);
    assert(short.seen.includes("disconnected 3503"), short.seen);

    const again = connect({ token: ended, getToken: () => tell("token", "bob") });
    await again.ready();
    assert(again.seen.includes("error 109"), again.seen);
    again.disconnect();

    const wrong = connect({ token: "wrong" });
    await until(() => wrong.state === State.Disconnected);
    assert(wrong.seen.includes("disconnected 3500"), wrong.seen);
  },
};

for (const [name, scenario] of Object.entries(scenarios)) {
  await scenario();
  console.log(`${wire}: ${name}`);
}
