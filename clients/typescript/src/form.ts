/** Calls with files, which are sent as a form. */

import type { Bytes } from "./codec.js";

/** The parameters of a call by their names. A `Blob` or `File`, or a list of them, makes the call a form. */
export type Parameters = object;

export function hasFiles(parameters: Parameters): boolean {
  return Object.values(parameters).some((value) => listed(value).some((each) => each instanceof Blob));
}

/**
 * The content type and the bytes of a form: all at once, as they may have to be signed.
 * Throws a `TypeError` for a value that text cannot be.
 */
export async function encodeForm(parameters: Parameters): Promise<{ contentType: string; body: Bytes }> {
  const form = new FormData();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of listed(value)) {
      if (each instanceof Blob) form.append(name, each);
      else if (each !== undefined) form.append(name, textOf(name, each));
    }
  }
  const encoded = new Response(form);
  return {
    contentType: encoded.headers.get("content-type") ?? "",
    body: new Uint8Array(await encoded.arrayBuffer()),
  };
}

/** The query of a call by GET, with its question mark. Throws a `TypeError` for a value that text cannot be. */
export function encodeQuery(parameters: Parameters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of listed(value)) if (each !== undefined) query.append(name, textOf(name, each));
  }
  return query.size > 0 ? `?${query}` : "";
}

function textOf(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (["number", "bigint", "boolean"].includes(typeof value)) return String(value);
  throw new TypeError(`${name}: forms and queries have text, numbers, booleans and lists of them`);
}

function listed(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}
