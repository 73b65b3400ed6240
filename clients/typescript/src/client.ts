/** `Client`: calls the methods of a service, with the session of one user, and signs and verifies. */

import { BatchQueue, type BatchOptions } from "./batch.js";
import { hex } from "./bytes.js";
import { json, type Bytes, type Codec } from "./codec.js";
import { errorOf, UnreadableResponseError } from "./errors.js";
import { encodeForm, encodeQuery, hasFiles, type Parameters } from "./form.js";
import { outcomeOf, type Call, type Outcome } from "./message.js";
import { readReply, type Reply } from "./reply.js";
import { compose, type Unsigned } from "./request.js";
import { RETRIES, retried, type RetryOptions } from "./retry.js";
import type { Session } from "./session.js";
import { schemeOf, type Scheme, type Signing } from "./signing.js";
import { inMemory, type SessionStorage } from "./storage.js";
import { send, type Progress } from "./transport.js";
import { verify, type Accepted } from "./verify.js";

export interface ClientOptions {
  /** The service's option of that name, `user_id` by default. */
  signing?: Signing;
  /** `json` by default; or `msgpack({ encode, decode })`. */
  codec?: Codec;
  /** Where the session is kept: `inMemory()` by default, or `inWebStorage(localStorage)`. */
  storage?: SessionStorage;
  /** The session is in a cookie of the browser (the service's option `use_cookies`), which no script can read. */
  cookies?: boolean;
  /** An API key, which calls show until there is a session; nothing is signed with it. */
  apiKey?: string;
  /** The milliseconds that a call may take with its further attempts, 60,000 by default. */
  timeout?: number;
  /** The attempts of calls that may be made twice; `{ attempts: 1 }` is none but the first. */
  retries?: Partial<RetryOptions>;
}

export interface CallOptions {
  /** Ends the call: it throws the reason of the signal. The service may have done it. */
  signal?: AbortSignal;
  /** As that of the client. */
  timeout?: number;
  /** The method changes nothing, so that it may be called again if no response comes. */
  safe?: boolean;
  /**
   * The method is marked `@idempotent`: a user's call gets a key of its own, and may be sent again, as it is done once.
   * Others may have no key, and are sent once.
   */
  idempotent?: boolean;
  /** The same with a key of yours, so that you can repeat the call later. */
  idempotencyKey?: string;
  /** Is told how much of the request is sent; before the end only in browsers. */
  onProgress?: Progress;
}

/** What a connection for channels begins with. */
export interface Handshake {
  /** Its address. */
  url: string;
  /** The session's id or the API key; "" if a cookie of the browser has the session, or there is none. */
  token: string;
  /** What proves that the session is the caller's, if requests are signed with its key. */
  signature: { timestamp?: string; nonce?: string; signature: string } | null;
}

interface Exchange extends CallOptions, Partial<Accepted> {}

export class Client {
  readonly url: string;
  readonly #scheme: Scheme | null;
  readonly #codec: Codec;
  readonly #storage: SessionStorage;
  readonly #cookies: boolean;
  readonly #apiKey: string;
  readonly #timeout: number;
  readonly #retries: RetryOptions;
  #session: Session | null = null;
  #restoring: Promise<Session | null> | undefined;

  /** `url` is that of the service, such as `https://example.org/service`; in a page it may be a path. */
  constructor(url: string | URL, options: ClientOptions = {}) {
    this.url = new URL(url, globalThis.location?.href).href.replace(/\/+$/, "");
    this.#scheme = schemeOf(options.signing ?? "user_id");
    this.#codec = options.codec ?? json;
    this.#storage = options.storage ?? inMemory();
    this.#cookies = options.cookies ?? false;
    this.#apiKey = options.apiKey ?? "";
    this.#timeout = options.timeout ?? 60_000;
    this.#retries = { ...RETRIES, ...options.retries };
    if (this.#cookies && this.#scheme?.keyed) {
      throw new TypeError("cookies: nobody can sign for a session whose id no script can read: write signing: 'off'");
    }
  }

  /** The session; null before a login, and before `restore` or a first call has read the storage. */
  get session(): Session | null {
    return this.#session;
  }

  /** Read the session from the storage. Calls do it too. */
  async restore(): Promise<Session | null> {
    this.#restoring ??= Promise.resolve(this.#storage.load()).then((kept) => (this.#session ??= kept));
    return this.#restoring.then(() => this.#session);
  }

  /** Leave the session without a word to the service: `logout` ends it. */
  async forget(): Promise<void> {
    await this.restore();
    this.#session = null;
    await this.#storage.remove();
  }

  /** Create an account and log in to it; `fields` are custom fields that the service allows. */
  async createAccount(user_id: string, password: string, fields: Parameters = {}): Promise<Session> {
    return this.#logIn("account.create", { ...fields, user_id, password });
  }

  /** Log in; the calls that follow use the new session. */
  async login(user_id: string, password: string): Promise<Session> {
    return this.#logIn("account.login", { user_id, password });
  }

  /** End the session. */
  async logout(options: CallOptions = {}): Promise<void> {
    await this.call("account.logout", {}, options);
    await this.forget();
  }

  /** Call a method and return its result. With files among its parameters it is sent as a form. */
  async call<Result = unknown>(method: string, parameters: Parameters = {}, options: CallOptions = {}): Promise<Result> {
    return member(await this.fetch(method, parameters, options), "result") as Result;
  }

  /** Call a method marked `@safe` by GET. */
  async get<Result = unknown>(method: string, parameters: Parameters = {}, options: CallOptions = {}): Promise<Result> {
    const request = { ...EMPTY, verb: "GET" as const, url: this.#urlOf(method) + encodeQuery(parameters) };
    return member(await this.#exchange(request, { ...options, safe: true }), "result") as Result;
  }

  /**
   * Call a method and return the response as received, such as bytes of the method's own; follows no redirect.
   * If requests are signed with a key, streams need `unsigned: true`, and anyone may have sent them.
   */
  async fetch(
    method: string,
    parameters: Parameters = {},
    options: CallOptions & { unsigned?: boolean } = {},
  ): Promise<Reply> {
    const url = this.#urlOf(method);
    const named = "session_id" in parameters ? [parameters.session_id] : [];
    if (hasFiles(parameters)) {
      return this.#exchange({ verb: "POST", url, ...(await encodeForm(parameters)) }, { ...options, named });
    }
    return this.#post(url, { method, parameters }, { ...options, named });
  }

  /** Make many calls in one request, by order of their ids. */
  async batch(calls: Record<string, Call>, options: CallOptions = {}): Promise<Record<string, Outcome>> {
    const entries = Object.entries(calls).map(([id, call]) => [id, { parameters: {}, ...call }] as const);
    const named = entries.map(([, { parameters }]) => (parameters as { session_id?: unknown }).session_id);
    const reply = await this.#post(this.url, { batch: Object.fromEntries(entries) }, { ...options, named });
    const found = (member(reply, "batch") ?? {}) as Record<string, unknown>;
    return Object.fromEntries(Object.keys(calls).map((id) => [id, outcomeOf(found[id])]));
  }

  /** A queue whose calls are collected, and sent in one request. */
  queue(options: BatchOptions = {}): BatchQueue {
    return new BatchQueue((calls) => this.batch(calls), options);
  }

  /** What a connection at a path below the service begins with: `connect` of `toto-client/channels` asks for it. */
  async handshake(path: string): Promise<Handshake> {
    const session = await this.restore();
    const url = `${this.url}/${path}`;
    const { headers, isSigned } = await compose({ ...EMPTY, verb: "GET", url }, this.#scheme, session);
    const { "x-toto-timestamp": timestamp, "x-toto-nonce": nonce, "x-toto-hmac": signature = "" } = headers;
    const counts = timestamp === undefined || nonce === undefined ? {} : { timestamp, nonce };
    return {
      url: url.replace(/^http/, "ws"),
      token: session?.session_id ?? this.#apiKey,
      signature: isSigned ? { ...counts, signature } : null,
    };
  }

  async #logIn(method: string, parameters: Parameters): Promise<Session> {
    const reply = await this.#post(this.#urlOf(method), { method, parameters }, { logsIn: true });
    if (reply.session === null) {
      throw new UnreadableResponseError("The service responds to the login without a session");
    }
    return reply.session;
  }

  #urlOf(method: string): string {
    return `${this.url}/${method.split(".").map(encodeURIComponent).join("/")}`;
  }

  async #post(url: string, message: unknown, options: Exchange): Promise<Reply> {
    const { contentType } = this.#codec;
    return this.#exchange({ verb: "POST", url, contentType, body: this.#codec.encode(message) }, options);
  }

  async #exchange(request: Unsigned, options: Exchange): Promise<Reply> {
    const signal = limited(options.timeout ?? this.#timeout, options.signal);
    await this.restore();
    const key = options.idempotencyKey ?? (options.idempotent && this.#isOfUser() ? newKey() : undefined);
    const headers: Record<string, string> = key === undefined ? {} : { "idempotency-key": key };
    const attempt = () => this.#attempt({ ...request, headers }, options, signal);
    return options.safe || key !== undefined ? retried(attempt, this.#retries, signal) : attempt();
  }

  /** Whether calls are a user's, so far as a page with cookies knows. */
  #isOfUser(): boolean {
    return this.#session === null ? this.#apiKey !== "" : this.#session.user_id !== "";
  }

  /** Send a request, verify the response, and adopt its session. Throws the error in it. */
  async #attempt(request: Unsigned, options: Exchange, signal: AbortSignal): Promise<Reply> {
    const accepted = { named: [], ...options };
    const session = this.#session;
    const headers = { ...request.headers };
    if (session === null && this.#apiKey !== "") headers["authorization"] = `Bearer ${this.#apiKey}`;
    const composed = await compose({ ...request, headers }, this.#scheme, session);
    const sent = { ...composed, cookies: this.#cookies, signal, onProgress: options.onProgress };
    const reply = readReply(await send(sent), this.#codec, this.#cookies);
    const isSigned = await verify(composed, reply, this.#scheme, accepted);
    if (isSigned && reply.session !== null) await this.#adopt(reply.session, composed.session, accepted.named);
    if (reply.message !== null && "error" in reply.message) {
      const error = errorOf(reply.message["error"], reply.status, reply.header("retry-after"));
      error.unsigned = !isSigned;
      throw error;
    }
    return reply;
  }

  /** Take over the session of a response, if it is new; `before` is the one of its request. */
  async #adopt(shown: Session, before: Session | null, named: readonly unknown[]): Promise<void> {
    if (before !== null && shown.session_id === before.session_id && shown.user_id === before.user_id) {
      if (this.#session?.session_id !== shown.session_id || this.#session.expires === shown.expires) return;
      this.#session = { ...this.#session, expires: shown.expires };
    } else if (shown.session_id !== "" && named.includes(shown.session_id)) {
      return; // a parameter's
    } else {
      this.#session = shown;
    }
    await this.#storage.save(this.#session);
  }
}

const EMPTY: { contentType: string; body: Bytes } = { contentType: "", body: new Uint8Array() };

/** A key that no other call has. */
function newKey(): string {
  return hex(crypto.getRandomValues(new Uint8Array(16))); // randomUUID is for pages of https:// alone
}

function limited(timeout: number, signal: AbortSignal | undefined): AbortSignal {
  const limit = AbortSignal.timeout(timeout);
  return signal === undefined ? limit : AbortSignal.any([signal, limit]);
}

/** A required member of a response. Throws `UnreadableResponseError`. */
function member(reply: Reply, name: string): unknown {
  if (reply.message === null || !(name in reply.message)) {
    const got = `${reply.status} ${reply.contentType}`;
    throw new UnreadableResponseError(`The response has no ${name}: ${got}; fetch returns bytes of a method's own`);
  }
  return reply.message[name];
}
