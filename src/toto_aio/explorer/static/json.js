/** JSON as text: what is not parsed keeps its numbers, of which a script loses digits beyond 2^53. */

// No alternatives within a text: browsers keep each of them, and give up in a text of some million characters.
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const OPEN = "{[";
const CLOSE = "}]";

/**
 * What is wrong with a text; "" if it is JSON.
 * @param {string} text
 */
export function syntaxProblem(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * JSON with line breaks and indents, and with the characters that it writes as escapes.
 * @param {string} text
 */
export function pretty(text) {
  const tokens = text.match(TOKEN) ?? [];
  let shown = "";
  let indent = "\n";
  tokens.forEach((token, index) => {
    if (OPEN.includes(token)) {
      if (CLOSE.includes(tokens[index + 1] ?? "")) shown += token;
      else shown += token + (indent += "  ");
    } else if (CLOSE.includes(token)) {
      if (OPEN.includes(tokens[index - 1] ?? "")) shown += token;
      else shown += (indent = indent.slice(0, -2)) + token;
    } else if (token === ",") shown += token + indent;
    else if (token === ":") shown += ": ";
    else shown += token.startsWith('"') ? JSON.stringify(JSON.parse(token)) : token;
  });
  return shown;
}

/**
 * A value that is written again as it came: a number that a script has another way to write keeps its digits.
 * @param {string} text JSON
 */
export function exact(text) {
  // Browsers have had ``rawJSON``, and the source of a value, since 2023 to 2025; TypeScript knows neither.
  const { parse, rawJSON } = /** @type {any} */ (JSON);
  /** @type {(key: string, value: unknown, context: { source: string }) => unknown} */
  const kept = (_key, value, context) =>
    typeof value === "number" && rawJSON && context.source !== String(value)
      ? rawJSON(context.source)
      : value;
  return parse(text, kept);
}

/**
 * The members of an object, each with the JSON of its value.
 * @param {string} text JSON of an object
 * @returns {[string, string][]}
 */
export function members(text) {
  return split(text).map((parts) => [JSON.parse(/** @type {string} */ (parts[0])), parts.slice(2).join("")]);
}

/**
 * The JSON of each item of an array.
 * @param {string} text JSON of an array
 */
export function items(text) {
  return split(text).map((parts) => parts.join(""));
}

/**
 * The tokens of what stands between the commas of the outermost object or array.
 * @param {string} text
 */
function split(text) {
  /** @type {string[][]} */
  const found = [];
  let depth = 0;
  /** @type {string[]} */
  let part = [];
  for (const token of text.match(TOKEN) ?? []) {
    if (CLOSE.includes(token)) depth--;
    if (depth === 0 || (depth === 1 && token === ",")) {
      if (part.length > 0) found.push(part);
      part = [];
    } else part.push(token);
    if (OPEN.includes(token)) depth++;
  }
  return found;
}

/**
 * JSON of a value as one types it: text without its quotes.
 * @param {string} text
 */
export function typed(text) {
  const value = JSON.parse(text);
  return typeof value === "string" ? value : text;
}
