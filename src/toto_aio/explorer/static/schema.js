/** What a JSON Schema says of a value: its kind, in words, and an example. */

/** @typedef {import("./types.js").Schema} Schema */
/** @typedef {Record<string, Schema>} Schemas */

/**
 * How a value is written in a form; `items` is the kind of those of a list.
 * @typedef {object} Kind
 * @property {"text" | "integer" | "number" | "boolean" | "date" | "date-time" | "time" | "choice" | "list" | "json"} name
 * @property {Schema} schema
 * @property {boolean} nullable
 * @property {Kind} [items]
 */

const REFERENCE = "#/components/schemas/";
const FORMATS = /** @type {const} */ (["date", "date-time", "time"]);
const WORDS = /** @type {Record<string, string>} */ ({ string: "text", array: "list", object: "object" });
const DEEPEST = 4;

/**
 * A schema that is no reference.
 * @param {Schema} schema
 * @param {Schemas} schemas
 * @returns {Schema}
 */
export function resolved(schema, schemas) {
  let found = schema;
  for (let steps = 0; steps < 16 && typeof found?.$ref === "string"; steps++) {
    const { $ref, ...beside } = found;
    const target = schemas[$ref.replace(REFERENCE, "")];
    found = typeof target === "object" ? { ...target, ...beside } : {};
  }
  if (found?.allOf?.length === 1) {
    const { allOf, ...beside } = found;
    return { ...resolved(allOf[0], schemas), ...beside };
  }
  return typeof found === "object" && found !== null ? found : {};
}

/**
 * @param {Schema} schema
 * @param {Schemas} schemas
 * @returns {Kind}
 */
export function kindOf(schema, schemas) {
  const { found, nullable } = withoutNull(resolved(schema, schemas), schemas);
  return { ...plainKind(found, schemas), schema: found, nullable };
}

/**
 * @param {Schema} schema
 * @param {Schemas} schemas
 * @returns {Pick<Kind, "name" | "items">}
 */
function plainKind(schema, schemas) {
  if (Array.isArray(schema.enum)) return { name: "choice" };
  if (schema.type === "boolean" || schema.type === "integer" || schema.type === "number")
    return { name: schema.type };
  if (schema.type === "string") return { name: FORMATS.find((each) => each === schema.format) ?? "text" };
  if (schema.type === "array" && !schema.prefixItems) {
    const items = kindOf(schema.items, schemas);
    if (!["list", "json"].includes(items.name) && !items.nullable) return { name: "list", items };
  }
  return { name: "json" };
}

/**
 * @param {Schema} schema
 * @param {Schemas} schemas
 * @returns {{found: Schema, nullable: boolean}}
 */
function withoutNull(schema, schemas) {
  const some = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(schema.type)) {
    const rest = schema.type.filter((/** @type {string} */ each) => each !== "null");
    const nullable = rest.length < schema.type.length;
    return { found: rest.length === 1 ? { ...schema, type: rest[0] } : { ...schema, type: rest }, nullable };
  }
  if (Array.isArray(schema.enum) && schema.enum.includes(null)) {
    return {
      found: { ...schema, enum: schema.enum.filter((/** @type {unknown} */ each) => each !== null) },
      nullable: true,
    };
  }
  if (!Array.isArray(some)) return { found: schema, nullable: false };
  const rest = some.filter((each) => each?.type !== "null");
  const { anyOf, oneOf, ...beside } = schema;
  if (rest.length === 1)
    return { found: { ...resolved(rest[0], schemas), ...beside }, nullable: rest.length < some.length };
  return { found: { ...beside, anyOf: rest }, nullable: rest.length < some.length };
}

/**
 * A type in words, such as `integer, at least 1`.
 * @param {Schema} schema
 * @param {Schemas} schemas
 * @returns {string}
 */
export function words(schema, schemas) {
  if (schema === false) return "nothing";
  if (typeof schema?.$ref === "string") {
    const name = schema.$ref.replace(REFERENCE, "");
    if (name === "TotoValue") return "anything";
    return resolved(schema, schemas).type === "object" ? name : words(resolved(schema, schemas), schemas);
  }
  const found = resolved(schema, schemas);
  const some = found.anyOf ?? found.oneOf;
  if (Array.isArray(some)) return some.map((each) => words(each, schemas)).join(" or ");
  if ("const" in found) return JSON.stringify(found.const);
  if (Array.isArray(found.enum))
    return `one of ${found.enum.map((/** @type {unknown} */ each) => JSON.stringify(each)).join(", ")}`;
  if (Array.isArray(found.type))
    return found.type.map((/** @type {string} */ each) => WORDS[each] ?? each).join(" or ");
  if (found.type === "array") {
    const list = found.items && !found.prefixItems ? `list of ${words(found.items, schemas)}` : "list";
    return [list, ...limits(found)].join(", ");
  }
  if (found.type === undefined) return "anything";
  const format = found.format ?? (found.contentEncoding ? "base64" : "");
  const name = WORDS[found.type] ?? found.type;
  return [format ? `${name} (${format})` : name, ...limits(found)].join(", ");
}

/**
 * @param {Schema} schema
 * @returns {string[]}
 */
function limits(schema) {
  const least = schema.minLength ?? schema.minItems ?? schema.minimum;
  const most = schema.maxLength ?? schema.maxItems ?? schema.maximum;
  const isWide = (/** @type {any} */ each) => each === undefined || Math.abs(each) > Number.MAX_SAFE_INTEGER;
  const unit = schema.type === "string" ? " characters" : schema.type === "array" ? " items" : "";
  const isRange = !isWide(least) && !isWide(most);
  return [
    isRange ? `${least} to ${most}${unit}` : "",
    isRange || isWide(least) ? "" : `at least ${least}${unit}`,
    isRange || isWide(most) ? "" : `at most ${most}${unit}`,
    schema.exclusiveMinimum === undefined ? "" : `more than ${schema.exclusiveMinimum}`,
    schema.exclusiveMaximum === undefined ? "" : `less than ${schema.exclusiveMaximum}`,
    schema.multipleOf === undefined ? "" : `a multiple of ${schema.multipleOf}`,
    schema.pattern === undefined || schema.format || schema.contentEncoding ? "" : `as ${schema.pattern}`,
  ].filter((each) => each !== "");
}

/**
 * A value that a schema allows, as far as it is easy to tell.
 * @param {Schema} schema
 * @param {Schemas} schemas
 * @param {boolean} [whole] with what may be left out
 * @param {number} [depth]
 * @returns {unknown}
 */
export function example(schema, schemas, whole = true, depth = 0) {
  const found = withoutNull(resolved(schema, schemas), schemas).found;
  if (found.examples?.length > 0) return found.examples[0];
  if (found.default !== undefined && found.default !== null) return found.default;
  if ("const" in found) return found.const;
  if (Array.isArray(found.enum)) return found.enum[0] ?? null;
  const some = found.anyOf ?? found.oneOf;
  if (Array.isArray(some) && found.type === undefined) {
    return schema?.$ref?.endsWith("/TotoValue") ? "" : example(some[0], schemas, whole, depth + 1);
  }
  if (depth > DEEPEST) return null;
  const type = Array.isArray(found.type) ? found.type[0] : found.type;
  if (type === "object") {
    const required = new Set(found.required ?? []);
    const names = Object.keys(found.properties ?? {}).filter((each) => found.properties[each] !== false);
    const chosen = names.filter((each) => whole || required.has(each));
    return Object.fromEntries(
      chosen.map((each) => [each, example(found.properties[each], schemas, whole, depth + 1)]),
    );
  }
  if (type === "array") {
    const items = found.prefixItems ?? (found.items ? [found.items] : []);
    return items.map((/** @type {Schema} */ each) => example(each, schemas, whole, depth + 1));
  }
  return (
    SCALARS[found.format] ?? SCALARS[type] ?? (type === "integer" || type === "number" ? leastOf(found) : "")
  );
}

/** @type {Record<string, unknown>} */
const SCALARS = {
  boolean: false,
  null: null,
  date: "2027-01-31",
  "date-time": "2027-01-31T12:00:00Z",
  time: "12:00:00",
  uuid: "00000000-0000-4000-8000-000000000000",
  decimal: "1.50",
  duration: "PT1H",
  email: "ada@example.com",
};

/** @param {Schema} schema */
function leastOf(schema) {
  const least = schema.minimum ?? (schema.exclusiveMinimum === undefined ? 0 : schema.exclusiveMinimum + 1);
  return Math.abs(least) > Number.MAX_SAFE_INTEGER ? 0 : Math.max(least, 0);
}
