/** The services that the tests call: tests/clients/test_typescript.py starts them, one for each scheme. */

import { vi } from "vitest";

import { Client, type ClientOptions, type Signing } from "../src/index.js";

export const SERVICES = JSON.parse(process.env["TOTO_SERVICES"] ?? "{}") as Record<Signing, string>;
export const SCHEMES = Object.keys(SERVICES) as Signing[];
export const PASSWORD = "correct horse";

let users = 0;

/** A user id that no other test has. */
export function newUser(): string {
  return `user-${process.pid}-${users++}@example.org`;
}

/** A client of the service with this scheme. */
export function clientOf(signing: Signing = "session", options: ClientOptions = {}): Client {
  return new Client(SERVICES[signing], { signing, ...options });
}

/** The same with the session of a new user. */
export async function userOf(signing: Signing = "session", options: ClientOptions = {}): Promise<Client> {
  const client = clientOf(signing, options);
  await client.createAccount(newUser(), PASSWORD);
  return client;
}

/** Change what arrives: `change` gets each response, and what it throws is thrown by `fetch`. */
export function intercept(change: (response: Response, count: number) => Response | Promise<Response>): void {
  const genuine = fetch;
  let count = 0;
  vi.stubGlobal("fetch", async (...request: Parameters<typeof fetch>) => change(await genuine(...request), ++count));
}
