/** The parameters of a call: as a form made of their schema, or as JSON. */

import { fill, make, newId } from "./dom.js";
import { Field } from "./field.js";
import { members, pretty, syntaxProblem } from "./json.js";
import { example, resolved } from "./schema.js";

/** @typedef {import("./types.js").Method} Method */
/** @typedef {import("./types.js").Problem} Problem */
/** @typedef {import("./types.js").Service} Service */

export class ParametersForm {
  element;
  /** @type {Field[]} */
  #fields = [];
  #editor;
  #editorProblem;
  #summary;
  #body;
  #asJSON;

  /**
   * @param {Method} method
   * @param {Service} service
   */
  constructor(method, service) {
    const id = newId();
    const schema = resolved(method.parameters, service.schemas);
    const required = new Set(schema.required ?? []);
    if (method.typed) {
      this.#fields = Object.entries(schema.properties ?? {})
        .filter(([, each]) => each !== false)
        .map(([name, each]) => {
          const isFile = service.by_url && method.files.includes(name);
          return new Field(name, each, service.schemas, { required: required.has(name), isFile });
        });
    }
    const isFree =
      this.#fields.length === 0 && (!method.typed || Object.keys(schema.properties ?? {}).length > 0);
    const text = isFree ? pretty(JSON.stringify(example(schema, service.schemas, false))) : "{}";
    this.#editor = make("textarea", {
      id,
      class: "code",
      rows: 8,
      spellcheck: "false",
      autocomplete: "off",
      "aria-describedby": `${id}-problem`,
    });
    this.#editor.value = text;
    this.#editorProblem = make("p", { id: `${id}-problem`, class: "problem", hidden: true });
    this.#summary = make("div", { role: "alert", class: "problems" });
    this.#body = make("div");
    this.#asJSON = make("input", { type: "checkbox", onchange: () => this.#turn() });
    this.#asJSON.checked = isFree;
    const toggle = make("label", { class: "inline" }, this.#asJSON, " as JSON");
    this.element = make(
      "fieldset",
      {},
      make("legend", {}, "Parameters"),
      this.#fields.length > 0 ? toggle : null,
      this.#summary,
      this.#body,
    );
    this.#fillBody(isFree || this.#fields.length > 0 ? null : "This method takes no parameters.");
  }

  /** The JSON of the parameters, and the files beside it; null if something is wrong, which is shown. */
  read() {
    this.show([]);
    if (this.#asJSON.checked) {
      const text = this.#written();
      return text === null ? null : { text, files: new Map() };
    }
    const wrong = this.#fields.filter((field) => {
      const problem = field.check();
      field.show(problem === "" ? [] : [problem]);
      return problem !== "";
    });
    wrong[0]?.focus();
    return wrong.length > 0 ? null : { text: this.#text(), files: this.#files() };
  }

  /**
   * Show what a refusal says: each problem beside its field, the others above.
   * @param {Problem[]} problems
   */
  show(problems) {
    this.#showEditorProblem("");
    const left = new Set(problems);
    let first = null;
    for (const field of this.#fields) {
      const own = this.#asJSON.checked ? [] : problems.filter((each) => field.isAt(each));
      own.forEach((each) => left.delete(each));
      field.show(own.map((each) => inWords(each, field.name)));
      if (own.length > 0) first ??= field;
    }
    const count = problems.length === 1 ? "One thing is" : `${problems.length} things are`;
    fill(
      this.#summary,
      problems.length > 0 ? make("p", {}, `${count} wrong with the parameters.`) : null,
      left.size > 0
        ? make(
            "ul",
            {},
            ...[...left].map((each) => make("li", {}, `${each.path}: ${inWords(each, each.path)}`)),
          )
        : null,
    );
    first?.focus();
  }

  #turn() {
    if (this.#asJSON.checked) this.#editor.value = pretty(this.#text());
    else if (!this.#takeOver()) {
      this.#asJSON.checked = true;
      return;
    }
    this.show([]);
    this.#fillBody(null);
  }

  /** Write what is in the editor into the fields. False if they would not send the same, which is shown. */
  #takeOver() {
    const text = this.#written();
    if (text === null) return false;
    const given = new Map(members(text));
    for (const field of this.#fields) {
      if (field.write(given.get(field.name) ?? null)) given.delete(field.name);
    }
    const lost = [...given.keys()];
    if (lost.length === 0) return true;
    this.#refuse(`The form would lose or change ${lost.join(", ")}: call as JSON, or write it as the form does.`);
    return false;
  }

  /** The JSON of the object in the editor; null if there is none, which is shown. */
  #written() {
    const text = this.#editor.value.trim() || "{}";
    const problem =
      syntaxProblem(text) || (text.startsWith("{") ? "" : "the parameters are an object, in braces");
    if (problem === "") return text;
    this.#refuse(`This is no JSON: ${problem}`);
    return null;
  }

  /** @param {string} problem */
  #refuse(problem) {
    this.#showEditorProblem(problem);
    this.#editor.focus();
  }

  /** @param {string | null} nothing what to say if there are no parameters */
  #fillBody(nothing) {
    if (nothing !== null) fill(this.#body, make("p", { class: "help" }, nothing));
    else if (this.#asJSON.checked) {
      fill(
        this.#body,
        make("label", { for: this.#editor.id }, "Parameters, as a JSON object"),
        this.#editor,
        this.#editorProblem,
      );
    } else fill(this.#body, ...this.#fields.map((field) => field.element));
  }

  #text() {
    const parts = this.#fields.flatMap((field) => {
      const text = field.read();
      return text === null ? [] : [`${JSON.stringify(field.name)}: ${text}`];
    });
    return `{${parts.join(", ")}}`;
  }

  /** @returns {Map<string, File[]>} */
  #files() {
    return new Map(
      this.#fields
        .map((field) => /** @type {const} */ ([field.name, field.files()]))
        .filter(([, files]) => files.length > 0),
    );
  }

  /** @param {string} text */
  #showEditorProblem(text) {
    this.#editorProblem.textContent = text;
    this.#editorProblem.hidden = text === "";
    if (text === "") this.#editor.removeAttribute("aria-invalid");
    else this.#editor.setAttribute("aria-invalid", "true");
  }
}

/**
 * @param {Problem} problem
 * @param {string} name where it is shown
 */
function inWords({ path, kind, expected, got, nearest }, name) {
  const place = path === name ? "" : `${path}: `;
  const facts = [
    expected && `expected ${expected}`,
    got && `got ${got}`,
    nearest && `did you mean ${nearest}?`,
  ].filter(Boolean);
  const what = KINDS[kind] ?? kind;
  return `${place}${[what, ...facts].join("; ")}.`;
}

/** @type {Record<string, string>} */
const KINDS = {
  missing: "it is missing",
  unknown: "there is no such parameter",
  type: "it has another type",
  value: "this value is not allowed",
};
