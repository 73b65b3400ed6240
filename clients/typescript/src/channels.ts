/**
 * Channels, over the public library `centrifuge`: it connects again, and recovers what was missed. This module tells
 * it who the caller is. docs/channels.md of toto_aio says what the service guarantees.
 */

import type {
  Centrifuge,
  Options,
  PublicationContext,
  SubscribedContext,
  Subscription,
  SubscriptionEvents,
  SubscriptionOptions,
  TypedEventEmitter,
} from "centrifuge";

import type { Client } from "./client.js";

export type { Centrifuge, SubscriptionOptions } from "centrifuge";

/** The module `centrifuge`, in its build for JSON. */
export type Library = Pick<typeof import("centrifuge"), "Centrifuge" | "UnauthorizedError">;

/**
 * A connection of the caller that a client is now: its user, its API key, its cookie, or nobody. After a login connect
 * again. `library` is `import * as library from "centrifuge"`, and `options` are its own. When the session has ended it
 * is disconnected for good, with the library's code 1.
 */
export async function connect(
  client: Client,
  library: Library,
  options: Partial<Options> = {},
): Promise<Centrifuge> {
  const path = "connection/websocket";
  const first = await client.handshake(path);
  const own: Partial<Options> = {};
  if (first.token !== "") {
    own.getToken = async () => {
      const { token } = await client.handshake(path);
      if (token === "") throw new library.UnauthorizedError("");
      if (connection.state === "connected") return token; // it expires, and is renewed
      if (token === shown) throw new library.UnauthorizedError(""); // the service has just got it, and asks again
      return (shown = token);
    };
  }
  if (first.signature !== null) {
    own.getData = async () => (await client.handshake(path)).signature;
  }
  let shown = "";
  const connection = new library.Centrifuge(first.url, { ...own, ...options });
  connection.on("connected", () => void (shown = ""));
  connection.connect();
  return connection;
}

/** The events of a subscription whose messages and data have types. */
export type ChannelEvents<Message, Data> = Omit<SubscriptionEvents, "publication" | "subscribed"> & {
  publication(context: Omit<PublicationContext, "data"> & { data: Message }): void;
  subscribed(context: Omit<SubscribedContext, "data"> & { data: Data }): void;
};

/** A subscription of the library: `subscribe`, `unsubscribe`, `publish`, `history` and `on`. */
export type Channel<Message = unknown, Data = unknown> = Omit<Subscription, keyof TypedEventEmitter<SubscriptionEvents>> &
  TypedEventEmitter<ChannelEvents<Message, Data>>;

/** The subscription to a channel of a pattern such as `room:{room}`, which a connection has once. */
export function channel<Message = unknown, Data = unknown>(
  connection: Centrifuge,
  pattern: string,
  variables: object = {},
  options: Partial<SubscriptionOptions> = {},
): Channel<Message, Data> {
  const name = nameOf(pattern, variables);
  const subscription = connection.getSubscription(name) ?? connection.newSubscription(name, options);
  return subscription as unknown as Channel<Message, Data>;
}

/** The name of a channel. Throws a `TypeError` for a value that would make it the name of another one. */
export function nameOf(pattern: string, variables: object): string {
  return pattern.replace(/\{(\w+)\}/g, (_, variable: string) => {
    const text = String((variables as Record<string, unknown>)[variable] ?? "");
    if (!/^[\w.@#$=,-]+$/.test(text)) {
      throw new TypeError(`${pattern}: ${variable}: write letters, digits and _.@#$=,-, not ${JSON.stringify(text)}`);
    }
    return text;
  });
}
