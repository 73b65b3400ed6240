/** How messages become bytes, and the reverse. */

export type Bytes = Uint8Array<ArrayBuffer>;

export interface Codec {
  readonly contentType: string;
  encode(value: unknown): Bytes;
  decode(bytes: Bytes): unknown;
}

export const json: Codec = {
  contentType: "application/json",
  encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
};

/** What a library of MessagePack has, such as `@msgpack/msgpack`. */
export interface MessagePack {
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}

/**
 * MessagePack, by a library of your choice: `msgpack({ encode, decode })`. In it bytes are `Uint8Array`, and
 * times are what the library makes of timestamps.
 */
export function msgpack(library: MessagePack): Codec {
  return {
    contentType: "application/msgpack",
    encode: (value) => new Uint8Array(library.encode(value)),
    decode: (bytes) => library.decode(bytes),
  };
}
