/** The requests of calls: what is sent, and as what it is shown. */

import { textOf, utf8 } from "./bytes.js";
import { ROOT } from "./exchange.js";
import { items, members, typed } from "./json.js";

/** @typedef {import("./types.js").Outgoing} Outgoing */
/** @typedef {import("./types.js").Service} Service */
/** @typedef {Map<string, File[]>} Files */

/**
 * A call by POST with its parameters as JSON.
 * @param {Service} service
 * @param {string} method
 * @param {string} parameters JSON of an object
 * @param {string} [key] the idempotency key
 * @returns {Outgoing}
 */
export function jsonCall(service, method, parameters, key = "") {
  const named = service.by_url ? "" : `"method": ${JSON.stringify(method)}, `;
  const url = service.by_url ? urlOf(method) : ROOT;
  const call = posted(url, `{${named}"parameters": ${parameters}}`);
  return { ...call, headers: keyed(key), named: [sessionIn(parameters)] };
}

/**
 * Calls in one request, in the order of their ids.
 * @param {{method: string, parameters: string}[]} calls
 * @returns {Outgoing}
 */
export function batchCall(calls) {
  const entries = calls.map(
    ({ method, parameters }, index) =>
      `  "${batchId(index)}": {"method": ${JSON.stringify(method)}, "parameters": ${parameters}}`,
  );
  const named = calls.map(({ parameters }) => sessionIn(parameters));
  return { ...posted(ROOT, `{"batch": {\n${entries.join(",\n")}\n}}`), named };
}

/**
 * The id of a call in a batch: the service sorts them as text.
 * @param {number} index
 */
export function batchId(index) {
  return String(index + 1).padStart(3, "0");
}

/**
 * A call by GET. Throws a `TypeError` for what a query cannot have.
 * @param {string} method
 * @param {string} parameters JSON of an object
 * @returns {Outgoing}
 */
export function getCall(method, parameters) {
  const query = new URLSearchParams(texts(parameters));
  const url = urlOf(method) + (query.size > 0 ? `?${query}` : "");
  const named = [sessionIn(parameters)];
  return { verb: "GET", url, contentType: "", body: new Uint8Array(), headers: {}, shown: "", named };
}

/**
 * A call by POST of a form with files. Throws a `TypeError` for what a form cannot have.
 * @param {Service} service
 * @param {string} method
 * @param {string} parameters JSON of an object
 * @param {Files} files
 * @param {string} [key] the idempotency key
 * @returns {Promise<Outgoing>}
 */
export async function formCall(service, method, parameters, files, key = "") {
  if (!service.by_url)
    throw new TypeError("This service is called without paths, so that it takes no forms.");
  /** @type {[string, string | File][]} */
  const parts = texts(parameters);
  for (const [name, chosen] of files) for (const file of chosen) parts.push([name, file]);
  const form = new FormData();
  for (const [name, value] of parts) form.append(name, value);
  const encoded = new Response(form); // all at once, as it may have to be signed
  const body = new Uint8Array(await encoded.arrayBuffer());
  const shown = textOf(body) ?? `(${body.length} bytes with ${[...files.keys()].join(", ")})`;
  const contentType = encoded.headers.get("content-type") ?? "";
  const sent = { contentType, body, shown, form: parts, named: [sessionIn(parameters)] };
  return { verb: "POST", url: urlOf(method), headers: keyed(key), ...sent };
}

/**
 * @param {string} url
 * @param {string} text
 * @returns {Outgoing}
 */
function posted(url, text) {
  return { verb: "POST", url, contentType: "application/json", body: utf8(text), headers: {}, shown: text };
}

/**
 * A session id among the parameters: a response shows that session, which is not the page's.
 * @param {string} parameters JSON of an object
 * @returns {unknown}
 */
function sessionIn(parameters) {
  return JSON.parse(parameters).session_id;
}

/** @param {string} method */
function urlOf(method) {
  return ROOT + method.split(".").map(encodeURIComponent).join("/");
}

/**
 * @param {string} key
 * @returns {Record<string, string>}
 */
function keyed(key) {
  return key === "" ? {} : { "idempotency-key": key };
}

/**
 * Parameters as a query or a form has them.
 * @param {string} parameters
 * @returns {[string, string][]}
 */
function texts(parameters) {
  return members(parameters).flatMap(([name, text]) => {
    const values = text.startsWith("[") ? items(text) : [text];
    return values.map((each) => /** @type {[string, string]} */ ([name, plain(name, each)]));
  });
}

/**
 * @param {string} name
 * @param {string} text
 */
function plain(name, text) {
  if (/^[{[]/.test(text) || text === "null") {
    throw new TypeError(`${name}: queries and forms have text, numbers, booleans and lists of them`);
  }
  return typed(text);
}
