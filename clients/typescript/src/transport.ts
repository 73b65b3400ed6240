/** Sends a request: by `fetch`, or by XMLHttpRequest where the progress of an upload is asked for. */

import type { Bytes } from "./codec.js";
import { ConnectionError } from "./errors.js";

/** Is told how many bytes of a request are sent, and how many it has. */
export type Progress = (sent: number, total: number) => void;

export interface Sent {
  verb: string;
  url: string;
  headers: Record<string, string>;
  body: Bytes;
  /** Whether the browser sends its cookies, and keeps those of the response. */
  cookies: boolean;
  signal: AbortSignal;
  onProgress?: Progress | undefined;
}

export interface Received {
  status: number;
  header(name: string): string | null;
  body: Bytes;
}

/** Throws a `ConnectionError`, or the reason of the signal. */
export async function send(request: Sent): Promise<Received> {
  request.signal.throwIfAborted();
  if (request.onProgress !== undefined && typeof XMLHttpRequest !== "undefined") return byXHR(request);
  const received = await byFetch(request);
  request.onProgress?.(request.body.length, request.body.length); // where there is only fetch, it is known at the end
  return received;
}

async function byFetch({ verb, url, headers, body, cookies, signal }: Sent): Promise<Received> {
  try {
    const response = await fetch(url, {
      method: verb,
      headers,
      body: body.length > 0 ? body : null,
      credentials: cookies ? "include" : "omit", // a cookie could belong to another user
      redirect: "manual", // another server must not receive the session
      cache: "no-store",
      signal,
    });
    return {
      status: response.status,
      header: (name) => response.headers.get(name),
      body: new Uint8Array(await response.arrayBuffer()),
    };
  } catch (cause) {
    signal.throwIfAborted();
    throw new ConnectionError(`No response of ${new URL(url).origin}`, { cause });
  }
}

function byXHR({ verb, url, headers, body, cookies, signal, onProgress }: Sent): Promise<Received> {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    const abort = () => xhr.abort();
    xhr.open(verb, url);
    xhr.responseType = "arraybuffer";
    xhr.withCredentials = cookies;
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = ({ loaded, total }) => onProgress?.(loaded, total);
    xhr.onload = () =>
      resolve({
        status: xhr.status,
        header: (name) => xhr.getResponseHeader(name),
        body: new Uint8Array(xhr.response as ArrayBuffer),
      });
    xhr.onerror = () => reject(new ConnectionError(`No response of ${new URL(url).origin}`));
    xhr.onabort = () => reject(signal.reason);
    xhr.onloadend = () => signal.removeEventListener("abort", abort);
    signal.addEventListener("abort", abort);
    xhr.send(body);
  });
}
