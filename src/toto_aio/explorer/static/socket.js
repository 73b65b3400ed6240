/** The WebSocket of the page: requests with ids, and frames that come by themselves. */

import { ROOT } from "./exchange.js";
import { exact } from "./json.js";

/** @typedef {import("./exchange.js").Line} Line */
/** @typedef {{resolve: (result: any) => void, reject: (error: any) => void}} Waiting */

export class Socket {
  /** Told of each frame without an id. @type {(frame: any) => void} */
  onframe = () => {};
  /** Told why the socket is closed. @type {(reason: string) => void} */
  onclose = () => {};
  #line;
  #url;
  /** @type {Promise<WebSocket> | null} */
  #opening = null;
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #last = 0;

  /**
   * @param {Line} line
   * @param {string} path from the root
   */
  constructor(line, path) {
    this.#line = line;
    this.#url = new URL(path, ROOT);
  }

  /**
   * The result of a frame. Rejects with the service's error, or with an `Error`.
   * @param {object} frame
   */
  async request(frame) {
    const socket = await (this.#opening ??= this.#open());
    return this.#ask(socket, frame);
  }

  /** Close it: the next request opens another, with the session of then. */
  async close() {
    const opening = this.#opening;
    this.#opening = null;
    (await opening?.catch(() => null))?.close();
  }

  async #open() {
    const url = new URL(this.#url);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.onmessage = ({ data }) => this.#receive(exact(data));
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onclose = () => {
        this.#opening = null;
        reject(new Error("The service opens no socket."));
      };
    });
    socket.onclose = ({ code, reason }) =>
      this.#closed(`The socket is closed: ${code}${reason ? ` (${reason})` : ""}.`);
    const first = await this.#line.firstFrame(this.#url);
    if (first !== null) {
      await this.#ask(socket, first).catch((error) => {
        socket.close();
        throw error;
      });
    }
    return socket;
  }

  /**
   * @param {WebSocket} socket
   * @param {object} frame
   */
  #ask(socket, frame) {
    const id = ++this.#last;
    const asked = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    socket.send(JSON.stringify({ id, ...frame }));
    return asked;
  }

  /** @param {any} frame */
  #receive(frame) {
    const waiting = this.#waiting.get(frame.id);
    if (waiting === undefined) {
      this.onframe(frame);
      return;
    }
    this.#waiting.delete(frame.id);
    if (frame.error === undefined) waiting.resolve(frame.result);
    else waiting.reject(frame.error);
  }

  /** @param {string} reason */
  #closed(reason) {
    this.#opening = null;
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
    this.onclose(reason);
  }
}
