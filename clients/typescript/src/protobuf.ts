/**
 * The library `centrifuge` in its build for Protobuf, in the place of the one for JSON: `connect(client, protobuf)` with
 * `import * as protobuf from "toto-client/channels/protobuf"`. Its data are bytes, and a service has JSON in them, which
 * is written and read here.
 */

import type {
  Centrifuge as Connection,
  ClientEvents,
  HistoryOptions,
  HistoryResult,
  Options,
  PresenceResult,
  PublishResult,
  RpcResult,
  SubscriptionOptions,
} from "centrifuge";
import * as library from "centrifuge/build/protobuf";

import type { Library } from "./channels.js";

class OverProtobuf extends library.Centrifuge {
  constructor(endpoint: string, options: Partial<Options> = {}) {
    super(endpoint, packedOptions(options));
  }

  override emit<Event extends keyof ClientEvents>(event: Event, ...told: Parameters<ClientEvents[Event]>): boolean {
    return super.emit(event, ...(told.map(unpacked) as typeof told));
  }

  override newSubscription(channel: string, options: Partial<SubscriptionOptions> = {}): library.Subscription {
    const subscription = super.newSubscription(channel, packedOptions(options));
    const { emit, setData } = subscription as { emit: (...event: unknown[]) => boolean; setData(data: unknown): void };
    subscription.emit = (event, ...told) => emit.call(subscription, event, ...told.map(unpacked));
    subscription.setData = (data: unknown) => setData.call(subscription, packed(data));
    return subscription;
  }

  override setData(data: unknown): void {
    super.setData(packed(data));
  }

  override send(data: unknown): Promise<void> {
    return super.send(packed(data));
  }

  override publish(channel: string, data: unknown): Promise<PublishResult> {
    return super.publish(channel, packed(data)); // subscriptions publish by it too
  }

  override async rpc(method: string, data: unknown): Promise<RpcResult> {
    return unpacked(await super.rpc(method, packed(data)));
  }

  override async history(channel: string, options?: HistoryOptions): Promise<HistoryResult> {
    const found = await super.history(channel, options);
    return { ...found, publications: found.publications.map(unpacked) };
  }

  override async presence(channel: string): Promise<PresenceResult> {
    const { clients } = await super.presence(channel);
    return { clients: Object.fromEntries(Object.entries(clients).map(([id, info]) => [id, unpacked(info)])) };
  }
}

export type Centrifuge = Connection;
/** Its members are the same, but TypeScript takes the private ones of two builds for different ones. */
export const Centrifuge = OverProtobuf as unknown as Library["Centrifuge"];
export const UnauthorizedError: Library["UnauthorizedError"] = library.UnauthorizedError;

/** JSON as bytes. */
function packed(data: unknown): unknown {
  return data === undefined || data === null ? data : new TextEncoder().encode(JSON.stringify(data));
}

function packedOptions<Given extends { data?: unknown; getData?: unknown }>({ data, getData, ...others }: Given) {
  const own: { data?: unknown; getData?: (...context: unknown[]) => Promise<unknown> } = {};
  if (data !== undefined) own.data = packed(data);
  if (typeof getData === "function") own.getData = async (...context) => packed(await getData(...context));
  return { ...others, ...own };
}

/** An event or a result, with values in the place of JSON. Empty bytes are what Protobuf says of what is not there. */
function unpacked<Told>(told: Told): Told {
  if (typeof told !== "object" || told === null) return told;
  const members = Object.entries(told).filter(([, value]) => !(value instanceof Uint8Array && value.length === 0));
  return Object.fromEntries(members.map(([name, value]) => [name, unpackedMember(name, value)])) as Told;
}

function unpackedMember(name: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return JSON.parse(new TextDecoder().decode(value));
  return name === "info" ? unpacked(value) : value;
}
