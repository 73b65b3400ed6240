/** Elements. Text of the service becomes text nodes, never HTML. */

/** @typedef {Node | string | null | undefined} Child */

/**
 * An element with attributes, listeners (`onclick`) and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | null | undefined | ((event: any) => unknown)>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, String(value));
  }
  fill(element, ...children);
  return element;
}

/**
 * Replace what is in an element.
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

/**
 * An element of the page.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}

let made = 0;

/** An id that no other element has. */
export function newId() {
  return `e${++made}`;
}

/**
 * A part that opens and closes.
 * @param {string} title
 * @param {boolean} open
 * @param {...Child} children
 */
export function section(title, open, ...children) {
  return make("details", { open }, make("summary", {}, title), ...children);
}

/**
 * Code that the keyboard can scroll.
 * @param {string} text
 * @param {string} label
 */
export function code(text, label) {
  return make("pre", { tabindex: 0, role: "region", "aria-label": label }, shortened(text, 200_000));
}

/**
 * As much of a text as a page can show.
 * @param {string} text
 * @param {number} most characters
 */
export function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most)}\n… ${text.length - most} more characters` : text;
}

/**
 * A button that copies a text.
 * @param {() => string} text
 */
export function copyButton(text) {
  const button = make("button", { type: "button", class: "quiet", onclick: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "The browser refuses: select the text"; // pages without TLS have no clipboard
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  }
  return button;
}
