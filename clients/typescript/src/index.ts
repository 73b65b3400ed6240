/** A client of services that run on toto_aio. Its parts are documented where they are defined. */

export { BatchQueue, type BatchOptions } from "./batch.js";
export { Client, type CallOptions, type ClientOptions, type Handshake } from "./client.js";
export { json, msgpack, type Codec, type MessagePack } from "./codec.js";
export {
  ConnectionError,
  InvalidSignatureError,
  TotoError,
  UnreadableResponseError,
  type Problem,
} from "./errors.js";
export type { Parameters } from "./form.js";
export type { Call, Outcome } from "./message.js";
export type { Reply } from "./reply.js";
export type { RetryOptions } from "./retry.js";
export type { Session } from "./session.js";
export type { Signing } from "./signing.js";
export { inMemory, inWebStorage, type SessionStorage } from "./storage.js";
export type { Progress } from "./transport.js";
