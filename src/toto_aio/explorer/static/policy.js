/** Who may call a method and how often, and what else is known of it, in words. */

import { limitOfKey } from "./caller.js";
import { make } from "./dom.js";
import { words } from "./schema.js";

/** @typedef {import("./types.js").Method} Method */
/** @typedef {import("./types.js").Policy} Policy */
/** @typedef {import("./types.js").Service} Service */

/**
 * @param {Method} method
 * @param {Service} service
 */
export function policyOf(method, service) {
  const { idempotent, safe, by_get, timeout, deprecated, raw, result } = method;
  const until = deprecated?.sunset ? `, and gone after ${deprecated.sunset}` : "";
  return listed([
    ["Deprecated", deprecated && `since ${deprecated.since}${until}`],
    ...asked(method),
    ["API key", limitOfKey(method, service.caller)],
    [
      "Repeating",
      safe ? "safe: it changes nothing" : idempotent ? "once, with an idempotency key" : "each call counts",
    ],
    ["Called by", by_get ? "POST or GET" : "POST"],
    ["Time limit", `${timeout} s`],
    ["Result", raw ? "bytes of its own" : words(result, service.schemas)],
  ]);
}

/**
 * What is asked of who calls.
 * @param {Policy} policy
 * @returns {[string, string | null][]}
 */
export function asked({ caller, roles, rates, fresh }) {
  return [
    ["Who", caller],
    ["Role", roles.join(" or ")],
    ["Login", fresh === null ? null : `not older than ${fresh} s`],
    ["How often", rates.join(", ")],
  ];
}

/** @param {[string, string | null][]} facts */
export function listed(facts) {
  const shown = facts.filter(([, text]) => text);
  return make("dl", {}, ...shown.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}
