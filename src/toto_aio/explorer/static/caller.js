/** Who calls, as far as that limits what may be called: with an API key, or with a cookie that no script reads. */

import { schemeOf } from "./signing.js";

/** @typedef {import("./types.js").Caller} Caller */
/** @typedef {import("./types.js").ErrorMeaning} ErrorMeaning */
/** @typedef {import("./types.js").Method} Method */
/** @typedef {import("./types.js").Service} Service */

export const NOT_AUTHORIZED = 1004;
export const INVALID_HMAC = 1008;
export const STRAY =
  "This browser has the cookie of a login, for which this tab has no key to sign with. Log in here: " +
  "until then, what is called with the cookie is refused.";

/**
 * What API keys may not do with a method; "" if nothing is to be said.
 * @param {Method} method
 * @param {Caller} caller
 */
export function limitOfKey({ name, by_key }, { scopes }) {
  if (!by_key) return "no key may call this: it takes a login";
  return scopes === null || allows(scopes, name) ? "" : `yours is not for this method, but for ${listedScopes(scopes)}`;
}

/**
 * What to do about an error, for this caller.
 * @param {ErrorMeaning} known
 * @param {Caller} caller
 */
export function adviceOf({ code, advice }, { scopes, isStray }) {
  if (code === NOT_AUTHORIZED && scopes !== null) {
    return (
      `You call with an API key for ${listedScopes(scopes)}, and as its user. For other methods make a key whose ` +
      "scopes name them, or log in."
    );
  }
  return code === INVALID_HMAC && isStray ? STRAY : advice;
}

/**
 * Why a socket of this page is nobody's although the page has a user; "" if it is the user's.
 * @param {Service} service
 * @param {boolean} byCookie
 */
export function limitOfSocket({ signing, caller }, byCookie) {
  if (caller.scopes !== null) return "Browsers show an API key to no socket, so you subscribe as nobody: log in for this.";
  const isKeyed = schemeOf(signing)?.keyed ?? false;
  return caller.user !== null && byCookie && isKeyed
    ? "Sockets are not signed with a session in a cookie, so you subscribe as nobody."
    : "";
}

/** @param {string[]} scopes */
export function listedScopes(scopes) {
  return scopes.includes("*") ? "all methods but those of accounts" : scopes.join(", ");
}

/**
 * @param {string[]} scopes
 * @param {string} method
 */
function allows(scopes, method) {
  return scopes.some(
    (scope) => scope === "*" || scope === method || (scope.endsWith(".*") && method.startsWith(scope.slice(0, -1))),
  );
}
