/** Where a client keeps its session between programs or visits of a page. */

import { readSession, type Session } from "./session.js";

export interface SessionStorage {
  load(): Session | null | Promise<Session | null>;
  save(session: Session): void | Promise<void>;
  remove(): void | Promise<void>;
}

/** As long as the program runs, or the page is open. */
export function inMemory(): SessionStorage {
  let kept: Session | null = null;
  return {
    load: () => kept,
    save: (session) => void (kept = session),
    remove: () => void (kept = null),
  };
}

/** What has the functions of `localStorage` and `sessionStorage`. */
export interface WebStorage {
  getItem(name: string): string | null;
  setItem(name: string, text: string): void;
  removeItem(name: string): void;
}

/**
 * `localStorage` or `sessionStorage`. Every script of the page's origin can read the session there; with
 * `cookies: true` none can.
 */
export function inWebStorage(storage: WebStorage, name = "toto-session"): SessionStorage {
  return {
    load() {
      try {
        return readSession(JSON.parse(storage.getItem(name) ?? "null"));
      } catch {
        return null; // nothing is kept, or it is not ours
      }
    },
    save: (session) => storage.setItem(name, JSON.stringify(session)),
    remove: () => storage.removeItem(name),
  };
}
