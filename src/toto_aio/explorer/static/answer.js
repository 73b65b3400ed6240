/** A request and its response, as they went over the line. */

import { copyButton, code, fill, make, section } from "./dom.js";
import { curl } from "./curl.js";
import { explained } from "./errors.js";
import { pretty } from "./json.js";

/** @typedef {import("./types.js").Exchange} Exchange */
/** @typedef {import("./types.js").Service} Service */

/**
 * @param {Exchange} exchange
 * @param {Service} service
 * @param {boolean} byCookie
 */
export function answered(exchange, service, byCookie) {
  const { request, status, headers, message, milliseconds, signature, failure, body } = exchange;
  const error = message?.error;
  const { command, notes } = curl(request, byCookie);
  const path = new URL(request.url);
  const sent = [
    `${request.verb} ${path.pathname}${path.search}`,
    ...lines(Object.entries(request.headers)),
  ].join("\n");
  const outcome = status === 0 ? "Nothing came back" : `Status ${status}`;
  const isRight = status >= 200 && status < 300 && error === undefined;
  return make(
    "div",
    { class: "answer" },
    make(
      "p",
      { class: "facts" },
      make("strong", { class: isRight ? "right" : "wrong" }, outcome),
      ` ${milliseconds.toFixed(0)} ms, ${body.length} bytes${signature ? `, ${signature}` : ""}`,
    ),
    failure === "" ? null : make("p", { class: "problem" }, failure),
    error === undefined ? null : explained(error, service),
    status === 0 ? null : section("Response", true, bodyOf(exchange)),
    status === 0
      ? null
      : section("Response headers", false, code(lines(headers).join("\n"), "Response headers")),
    section("Request", false, code(request.shown === "" ? sent : `${sent}\n\n${request.shown}`, "Request")),
    section(
      "The same as curl",
      false,
      ...notes.map((each) => make("p", { class: "help" }, each)),
      make(
        "div",
        { class: "row" },
        copyButton(() => command),
      ),
      code(command, "The same as curl"),
    ),
  );
}

/** @param {Exchange} exchange */
function bodyOf({ text, message, body, headers }) {
  const type = headers.find(([name]) => name === "content-type")?.[1] ?? "";
  const shown = make("div");
  if (text === null) {
    const link = make("a", { class: "button", download: "response" }, `Save ${body.length} bytes`);
    link.href = URL.createObjectURL(new Blob([body], { type: "application/octet-stream" }));
    fill(shown, make("p", {}, type || "bytes"), link);
    return shown;
  }
  const whole = message === null ? text : pretty(text);
  fill(
    shown,
    make(
      "div",
      { class: "row" },
      copyButton(() => whole),
    ),
    code(whole || "(empty)", "Response"),
  );
  return shown;
}

/** @param {[string, string][]} headers */
function lines(headers) {
  return headers.map(([name, value]) => `${name}: ${value}`);
}
