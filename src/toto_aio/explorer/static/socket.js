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
  /** The one in use: of another, which is closed or closing, nothing counts. @type {WebSocket | null} */
  #socket = null;
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
  close() {
    const socket = this.#socket;
    if (socket === null) return;
    this.#ended(socket, "The socket is closed, as the session has changed.");
    socket.close();
  }

  async #open() {
    const url = new URL(this.#url);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(url));
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#receive(exact(data));
    };
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onclose = ({ code, reason }) => {
        this.#ended(socket, `The socket is closed: ${code}${reason ? ` (${reason})` : ""}.`);
        reject(new Error("The service opens no socket."));
      };
    });
    try {
      const first = await this.#line.firstFrame(this.#url);
      if (first !== null) await this.#ask(socket, first);
    } catch (error) {
      if (socket === this.#socket) this.close();
      throw error;
    }
    return socket;
  }

  /**
   * @param {WebSocket} socket
   * @param {object} frame
   */
  async #ask(socket, frame) {
    if (socket !== this.#socket) throw new Error("The socket is closed.");
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

  /**
   * @param {WebSocket} socket
   * @param {string} reason
   */
  #ended(socket, reason) {
    if (socket !== this.#socket) return; // it has been left, and there may be another
    this.#socket = null;
    this.#opening = null;
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
    this.onclose(reason);
  }
}
