/** A parameter in a form: a control that gives JSON, and what is wrong with it. */

import { control } from "./control.js";
import { fill, make, newId } from "./dom.js";
import { pretty } from "./json.js";
import { kindOf, words } from "./schema.js";

/** @typedef {import("./types.js").Problem} Problem */
/** @typedef {import("./types.js").Schema} Schema */

export class Field {
  name;
  element;
  #control;
  #problem;
  #null;
  #kind;
  #required;

  /**
   * @param {string} name
   * @param {Schema} schema
   * @param {Record<string, Schema>} schemas
   * @param {{required: boolean, isFile: boolean}} how
   */
  constructor(name, schema, schemas, { required, isFile }) {
    const kind = kindOf(schema, schemas);
    const id = newId();
    const description = schema?.description ?? kind.schema.description ?? "";
    const described = /[^.!?]$/.test(description) ? `${description}.` : description;
    const help = make(
      "p",
      { id: `${id}-help`, class: "help" },
      [described, facts(schema, kind)].filter(Boolean).join(" "),
    );
    this.name = name;
    this.#kind = kind;
    this.#required = required;
    this.#problem = make("p", { id: `${id}-problem`, class: "problem", hidden: true });
    this.#control = control(kind, { id, name, required, isFile, schema, schemas });
    this.#null =
      kind.nullable && (required || (kind.schema.default ?? schema.default ?? null) !== null)
        ? make("input", { type: "checkbox", id: `${id}-null` })
        : null;
    this.element = make(
      "div",
      { class: "field" },
      make(
        "label",
        { for: id },
        make("span", { class: "name" }, name),
        make("span", { class: "type" }, ` ${isFile ? "file" : words(schema, schemas)}`),
        required ? make("span", { class: "required" }, " · required") : null,
      ),
      this.#control.element,
      this.#null && make("label", { class: "inline" }, this.#null, " null"),
      help.textContent === "" ? null : help,
      this.#problem,
    );
    const about = `${id}-problem${help.textContent === "" ? "" : ` ${id}-help`}`;
    this.#control.main.setAttribute("aria-describedby", about);
    if (required) this.#control.main.setAttribute("aria-required", "true");
  }

  /** The JSON of the value; null leaves it out. */
  read() {
    if (this.#null?.checked) return "null";
    return this.#control.read();
  }

  /** The files that were chosen. */
  files() {
    return this.#control.files?.() ?? [];
  }

  /** What is wrong before anything is sent; "" if nothing is. */
  check() {
    return this.#null?.checked ? "" : (this.#control.check?.() ?? "");
  }

  /**
   * Show a value. False if the control has another way to write it, or none: it would be sent changed, or not at all.
   * @param {string | null} text its JSON; null for none
   */
  write(text) {
    if (this.#null !== null) this.#null.checked = text === "null";
    this.#control.write(text === "null" && !this.#required ? null : text);
    const shown = this.read();
    if (text === null) return true;
    if (shown === null) return text === "null" && this.#kind.nullable;
    return pretty(shown) === pretty(text) || (this.#kind.name === "date-time" && isSameMoment(shown, text));
  }

  /**
   * Show what is wrong; nothing clears it.
   * @param {string[]} texts
   */
  show(texts) {
    fill(this.#problem, texts.join(" "));
    this.#problem.hidden = texts.length === 0;
    if (texts.length > 0) this.#control.main.setAttribute("aria-invalid", "true");
    else this.#control.main.removeAttribute("aria-invalid");
  }

  focus() {
    this.#control.main.focus();
  }

  /** @param {Problem} problem */
  isAt({ path }) {
    return path === this.name || path.startsWith(`${this.name}.`) || path.startsWith(`${this.name}[`);
  }
}

/**
 * Whether two moments are one, whatever their time zones.
 * @param {string} one JSON
 * @param {string} other JSON
 */
function isSameMoment(one, other) {
  return Date.parse(JSON.parse(one)) === Date.parse(JSON.parse(other));
}

/**
 * @param {Schema} schema
 * @param {import("./schema.js").Kind} kind
 */
function facts(schema, kind) {
  const initial = schema?.default ?? kind.schema.default;
  const examples = schema?.examples ?? kind.schema.examples;
  return [
    initial === undefined ? "" : `If left out: ${JSON.stringify(initial)}.`,
    examples?.length > 0
      ? `For example ${examples.map((/** @type {unknown} */ each) => JSON.stringify(each)).join(", ")}.`
      : "",
  ]
    .filter(Boolean)
    .join(" ");
}
