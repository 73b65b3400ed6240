/** The page: loads what the service can do, and shows what the address names. */

import { BatchPanel } from "./batch.js";
import { CallPanel } from "./call.js";
import { INVALID_HMAC, NOT_AUTHORIZED, STRAY } from "./caller.js";
import { ChannelsPanel } from "./channels.js";
import { byId, fill, make } from "./dom.js";
import { errorsPanel, explained } from "./errors.js";
import { Line, ROOT } from "./exchange.js";
import { LoginBar } from "./login.js";
import { Navigation } from "./navigation.js";
import { SessionKeeper } from "./session.js";

/** @typedef {import("./types.js").Service} Service */

const DATA = `${ROOT}explorer/service.json`;
const ASKING = /** @type {import("./types.js").Outgoing} */ ({
  verb: "GET",
  url: DATA,
  contentType: "",
  headers: {},
  body: new Uint8Array(),
  shown: "",
});
const sessions = new SessionKeeper(new URL(ROOT).pathname);
const line = new Line(sessions);
/** The panels of methods, with what was typed into them; each as long as its method stays as it is. */
const panels = /** @type {Map<string, CallPanel>} */ (new Map());

/** @type {ChannelsPanel | null} */
let channels = null;
/** @type {BatchPanel | null} */
let batch = null;
/** Why nobody is logged in any more. */
let hint = "";
/** @type {string | null} */
let shownTo = null;
/** Show what the address names. @type {(moves: boolean) => void} */
let show = () => {};
let turns = 0;

sessions.onchange = () => void load();
addEventListener("hashchange", () => show(true));
void load();

async function load() {
  channels?.leave();
  if (sessions.current?.key && line.signing === "off") await learnSigning();
  const turn = ++turns;
  const { current } = sessions;
  let exchange = await line.send(ASKING);
  const isStray = exchange.message?.error?.code === INVALID_HMAC && current === null;
  if (isStray) exchange = await line.send(ASKING, null, "omit");
  if (turn !== turns) return; // somebody else has logged in or out meanwhile
  const told = /** @type {any} */ (exchange.message);
  if (told?.service === undefined) {
    const error = told?.error;
    if (error?.code === NOT_AUTHORIZED && current?.bearer !== undefined) leave(`The service refuses this key: ${error.value}`);
    else if (error?.code === INVALID_HMAC && current?.session_id === "") sessions.set(null); // the cookie is another's now
    else refused(exchange);
    return;
  }
  const { user, scopes, service } = told;
  if (user === null && current?.bearer !== undefined) leave("The service does not know this key.");
  else if (user === null && current?.user_id) leave("The session has ended.");
  else if (user !== null && user !== current?.user_id && hasCookieAlone(service)) {
    sessions.set({ session_id: "", user_id: user, expires: 0, key: "" }); // of another tab; then it is loaded again
  } else {
    if (isStray) hint = STRAY;
    start({ ...service, caller: { user, scopes, isStray } });
  }
}

/**
 * Go on without a login.
 * @param {string} why
 */
function leave(why) {
  hint = why;
  sessions.set(null);
}

/**
 * Whether nothing but a cookie shows who calls.
 * @param {Service} service
 */
function hasCookieAlone({ cookies }) {
  const { current } = sessions;
  return cookies && (current === null || (current.session_id === "" && current.bearer === undefined));
}

/** How requests are signed: whoever has a key has to know before the first one. */
async function learnSigning() {
  try {
    const response = await fetch(DATA, { credentials: "omit", cache: "no-store" });
    line.signing = (await response.json()).service.signing;
  } catch {
    // The request that follows says what is wrong.
  }
}

/** @param {import("./types.js").Exchange} exchange */
function refused({ message, failure, status }) {
  const forget = make("button", { type: "button", onclick: () => sessions.forget() }, "Forget the session");
  const error = message?.error;
  byId("notice").hidden = false;
  fill(
    byId("notice"),
    "The service does not say what it can do. ",
    error === undefined
      ? `${failure || `Status ${status}.`} `
      : explained(error, /** @type {any} */ ({ errors: [] })),
    sessions.current === null
      ? make("button", { type: "button", onclick: () => void load() }, "Try again")
      : forget,
  );
}

/** @param {Service} service */
function start(service) {
  const { user } = service.caller;
  line.signing = service.signing;
  if (shownTo !== null && shownTo !== user) panels.clear(); // what it was answered is another user's
  shownTo = user;
  document.title = `${service.title}: explorer`;
  fill(byId("title"), service.title, make("span", { class: "type" }, ` ${service.version}`));
  byId("notice").textContent = hint;
  byId("notice").hidden = hint === "";
  hint = "";
  new LoginBar(service, line, user);
  const navigation = new Navigation(service);
  const collected = new BatchPanel(service, line, batch?.calls ?? []);
  batch = collected;
  navigation.count(collected.calls.length);
  collected.onchange = (count) => navigation.count(count);
  channels = service.channels.length > 0 ? new ChannelsPanel(service, line) : null;
  const welcome = welcomed(service, user);

  /** @param {string} name */
  function methodPanel(name) {
    const method = service.methods.find((each) => each.name === name);
    if (method === undefined) return null;
    const mark = JSON.stringify([method, service.signing, service.caller]);
    const panel =
      panels.get(mark) ??
      new CallPanel(method, service, line, (called, parameters) => batch?.add(called, parameters));
    panels.set(mark, panel);
    return panel.element;
  }

  show = (moves) => {
    const [view, name] = location.hash.slice(1).split("/", 2);
    const views = /** @type {Record<string, () => Element | null>} */ ({
      method: () => methodPanel(decoded(name ?? "")) ?? missing(decoded(name ?? ""), user),
      batch: () => (service.batch_limit > 0 ? collected.element : null),
      channels: () => channels?.element ?? null,
      errors: () => errorsPanel(service),
      "": () => welcome,
    });
    const panel = Object.hasOwn(views, view ?? "") ? views[view ?? ""]?.() : undefined;
    if (panel === undefined) return; // the skip link's
    const place = byId("panel");
    if (place.firstElementChild !== (panel ?? welcome)) fill(place, panel ?? welcome);
    navigation.follow();
    if (moves) place.querySelector("h2")?.focus();
  };
  show(false);
}

/** @param {string} text of an address, which anyone may have written */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * @param {string} name
 * @param {string | null} user
 */
function missing(name, user) {
  const advice = user === null ? " Log in to see the methods that ask for a role." : "";
  return make(
    "section",
    {},
    make("h2", { tabindex: -1 }, name),
    make("p", {}, `There is no such method for you.${advice}`),
  );
}

/**
 * @param {Service} service
 * @param {string | null} user
 */
function welcomed(service, user) {
  const nothing = service.methods.length === 0 && user === null;
  return make(
    "section",
    {},
    make("h2", { tabindex: -1 }, nothing ? "Log in to see the methods" : "Choose a method"),
    service.description ? make("p", { class: "documentation" }, service.description) : null,
    make(
      "p",
      { class: "help" },
      "The slash key leads to the filter, the arrow keys from method to method, and Ctrl+Enter in a form makes the call.",
    ),
  );
}
