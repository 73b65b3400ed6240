/** The controls by which values are written, by their kinds. Each gives JSON; the service judges it. */

import { fill, make, newId } from "./dom.js";
import { items, pretty, syntaxProblem, typed } from "./json.js";
import { example } from "./schema.js";

/** @typedef {import("./schema.js").Kind} Kind */

/**
 * @typedef {object} Control
 * @property {HTMLElement} element
 * @property {HTMLElement} main what the label is for
 * @property {() => string | null} read JSON; null leaves the value out
 * @property {(text: string | null) => void} write
 * @property {() => string} [check]
 * @property {() => File[]} [files]
 */

/**
 * @typedef {object} About
 * @property {string} id
 * @property {string} name
 * @property {boolean} required
 * @property {boolean} isFile
 * @property {any} schema
 * @property {Record<string, any>} schemas
 */

/** A JSON number. */
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/**
 * @param {Kind} kind
 * @param {About} about
 * @returns {Control}
 */
export function control(kind, about) {
  return about.isFile ? file(kind, about) : CONTROLS[kind.name](kind, about);
}

/** @type {Record<Kind["name"], (kind: Kind, about: About) => Control>} */
const CONTROLS = {
  text: (kind, about) => {
    const isLong = (kind.schema.maxLength ?? 0) > 200;
    const isSecret = /password|secret/i.test(about.name);
    const type = isSecret ? "password" : "text";
    const attributes = { id: about.id, autocomplete: isSecret ? "new-password" : "off", spellcheck: "false" };
    const main = isLong
      ? make("textarea", { ...attributes, rows: 4 })
      : make("input", { ...attributes, type });
    return simple(main, about.required, (text) => JSON.stringify(text), typed);
  },
  integer: number("numeric"),
  number: number("decimal"),
  date: picker(
    "date",
    (text) => text,
    (text) => text,
  ),
  time: picker(
    "time",
    (text) => text,
    (text) => text.slice(0, 8),
  ),
  "date-time": picker("datetime-local", (text) => new Date(text).toISOString(), localMoment),
  boolean: (_, about) => choice(["true", "false"], about),
  choice: (kind, about) =>
    choice(
      kind.schema.enum.map((/** @type {unknown} */ each) => JSON.stringify(each)),
      about,
    ),
  list,
  json,
};

/**
 * @param {HTMLInputElement | HTMLTextAreaElement} main
 * @param {boolean} required
 * @param {(text: string) => string} encode
 * @param {(json: string) => string} decode
 * @returns {Control}
 */
function simple(main, required, encode, decode) {
  return {
    element: main,
    main,
    read: () => (main.value === "" && !required ? null : encode(main.value)),
    write: (text) => (main.value = text === null ? "" : decode(text)),
  };
}

/**
 * @param {string} mode of the keyboard
 * @returns {(kind: Kind, about: About) => Control}
 */
function number(mode) {
  return (_, { id }) => {
    // Text, as a script's numbers lose digits of large ones.
    const main = make("input", { id, type: "text", inputmode: mode, autocomplete: "off" });
    return simple(
      main,
      false,
      (text) => (NUMBER.test(text.trim()) ? text.trim() : JSON.stringify(text)),
      typed,
    );
  };
}

/**
 * @param {string} type
 * @param {(text: string) => string} encode
 * @param {(text: string) => string} decode
 * @returns {(kind: Kind, about: About) => Control}
 */
function picker(type, encode, decode) {
  return (_, { id }) => {
    const main = make("input", { id, type, step: type === "date" ? null : 1 });
    return simple(
      main,
      false,
      (text) => JSON.stringify(encode(text)),
      (text) => decode(typed(text)),
    );
  };
}

/** @param {string} text ISO 8601 */
function localMoment(text) {
  const moment = new Date(text);
  if (Number.isNaN(moment.getTime())) return "";
  return new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/**
 * @param {string[]} choices JSON
 * @param {About} about
 * @returns {Control}
 */
function choice(choices, { id, required }) {
  const main = make("select", { id });
  if (!required) main.append(make("option", { value: "" }, "(left out)"));
  main.append(...choices.map((each) => make("option", { value: each }, typed(each))));
  return {
    element: main,
    main,
    read: () => main.value || null,
    write: (text) => (main.value = text ?? (required ? (choices[0] ?? "") : "")),
  };
}

/**
 * Any value, as JSON.
 * @param {Kind} _
 * @param {About} about
 * @returns {Control}
 */
function json(_, { id, schema, schemas, name }) {
  const skeleton = () => JSON.stringify(example(schema, schemas), null, 2);
  const main = make("textarea", { id, class: "code", rows: 4, spellcheck: "false", autocomplete: "off" });
  const insert = make(
    "button",
    {
      type: "button",
      class: "quiet",
      "aria-label": `Insert an example of ${name}`,
      onclick: () => (main.value = skeleton()),
    },
    "Insert an example",
  );
  return {
    element: make("div", {}, main, make("div", { class: "row" }, insert)),
    main,
    read: () => main.value.trim() || null,
    write: (text) => (main.value = text === null ? "" : pretty(text)),
    check: () => {
      const problem = main.value.trim() === "" ? "" : syntaxProblem(main.value);
      return problem === "" ? "" : `This is no JSON: ${problem}`;
    },
  };
}

/**
 * Items of one kind, each in a row of its own.
 * @param {Kind} kind
 * @param {About} about
 * @returns {Control}
 */
function list(kind, about) {
  const { id, name, required } = about;
  const ofItems = /** @type {Kind} */ (kind.items);
  const element = make("div", { class: "items" });
  const add = make(
    "button",
    {
      type: "button",
      id,
      class: "quiet",
      "aria-label": `Add an item to ${name}`,
      onclick: () => append().main.focus(),
    },
    "Add an item",
  );
  element.append(add);
  /** @type {Control[]} */
  let rows = [];

  function append() {
    const item = control(ofItems, { ...about, id: newId(), required: true, schema: ofItems.schema });
    item.main.setAttribute("aria-label", `${name}, an item`);
    const remove = () => {
      rows = rows.filter((each) => each !== item);
      row.remove();
      add.focus();
    };
    const row = make(
      "div",
      { class: "row" },
      item.element,
      make(
        "button",
        { type: "button", class: "quiet", "aria-label": `Remove an item from ${name}`, onclick: remove },
        "Remove",
      ),
    );
    rows.push(item);
    add.before(row);
    return item;
  }

  return {
    element,
    main: add,
    read: () => {
      if (rows.length === 0 && !required) return null;
      return `[${rows.map((each) => each.read() ?? '""').join(", ")}]`;
    },
    write: (text) => {
      rows = [];
      fill(element, add);
      for (const each of text?.startsWith("[") ? items(text) : []) append().write(each);
    },
  };
}

/**
 * @param {Kind} kind
 * @param {About} about
 * @returns {Control}
 */
function file(kind, { id }) {
  const main = make("input", {
    id,
    type: "file",
    multiple: kind.name === "list" || kind.schema.type === "array",
  });
  return {
    element: main,
    main,
    read: () => null,
    write: () => {},
    files: () => [...(main.files ?? [])],
  };
}
