/** What the codes of errors mean, by the table of the service. */

import { adviceOf } from "./caller.js";
import { make, shortened } from "./dom.js";

/** @typedef {import("./types.js").CallError} CallError */
/** @typedef {import("./types.js").Problem} Problem */
/** @typedef {import("./types.js").Service} Service */

/**
 * An error: its code and name, what it says, what it means and what to do.
 * @param {CallError} error
 * @param {Service} service
 */
export function explained({ code, value }, service) {
  const known = service.errors.find((each) => each.code === code);
  const said = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return make(
    "div",
    { class: "error" },
    make(
      "p",
      {},
      make("strong", {}, known ? `${code} ${known.name}` : `${code}, an error of the method's own`),
    ),
    make("p", {}, shortened(said, 10_000)),
    known ? make("p", { class: "help" }, `${known.meaning} ${adviceOf(known, service.caller)}`) : null,
  );
}

/**
 * What is wrong with the parameters. An error of the method's own may have anything below that name.
 * @param {CallError | undefined} error
 * @returns {Problem[]}
 */
export function problemsOf(error) {
  const problems = /** @type {any} */ (error?.problems);
  if (!Array.isArray(problems)) return [];
  return problems.filter((each) => typeof each?.path === "string" && typeof each.kind === "string");
}

/** @param {Service} service */
export function errorsPanel(service) {
  const rows = service.errors.map(({ code, name, status, meaning, advice }) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, `${code} ${name}`),
      make("td", {}, String(status)),
      make("td", {}, meaning),
      make("td", {}, advice),
    ),
  );
  const heads = ["Code", "Status", "What it means", "What to do"].map((each) =>
    make("th", { scope: "col" }, each),
  );
  return make(
    "section",
    {},
    make("h2", { tabindex: -1 }, "Errors"),
    make("p", {}, "Any call may end with one of these. Other codes are the methods' own."),
    make(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-label": "Errors" },
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)),
    ),
  );
}
