/** A request as a command of curl, and what is to be known before it is run. */

/** @typedef {import("./types.js").Outgoing} Outgoing */

/**
 * @param {Outgoing} request
 * @param {boolean} byCookie whether a cookie shows the session, which no script can read
 */
export function curl(request, byCookie) {
  const { verb, url, headers, shown, form } = request;
  const lines = [`curl -i ${quoted(url)}`];
  for (const [name, value] of Object.entries(headers)) {
    if (form === undefined || name !== "content-type") lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  if (form !== undefined) lines.push(...form.map(([name, value]) => part(name, value)));
  else if (verb === "POST") lines.push(`--data-raw ${quoted(shown)}`);
  // Beside the command, not as comments in it: an interactive zsh takes those for commands.
  const notes = [];
  if (byCookie) notes.push("The session is in a cookie, which this page cannot read: log in by curl.");
  if ("x-toto-nonce" in headers) notes.push("The signature counts once, and for five minutes.");
  else if (form !== undefined && "x-toto-hmac" in headers)
    notes.push("curl divides the form in another way, which this signature is not for.");
  return { command: lines.join(" \\\n  "), notes };
}

/**
 * @param {string} name
 * @param {string | File} value
 */
function part(name, value) {
  return typeof value === "string"
    ? `--form-string ${quoted(`${name}=${value}`)}`
    : `-F ${quoted(`${name}=@"${value.name.replace(/["\\]/g, "\\$&")}"`)}`;
}

/**
 * A word of the shell.
 * @param {string} text
 */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
