/** What the service tells of itself (`service.json`), and what is sent and received. Types only. */

/** A JSON Schema; `true` and `false` are schemas too. @typedef {any} Schema */

/**
 * What may be asked of who calls.
 * @typedef {object} Policy
 * @property {string} caller who may call, in words
 * @property {string[]} roles of which the caller needs one, if there are any
 * @property {string[]} rates how often, in words
 * @property {number | null} fresh the seconds within which the caller must have logged in
 */

/**
 * @typedef {object} MethodFields
 * @property {string} name
 * @property {string} [summary]
 * @property {string} [description]
 * @property {number} timeout seconds
 * @property {boolean} idempotent
 * @property {boolean} safe
 * @property {boolean} by_get
 * @property {boolean} by_key whether an API key may call it, if its scopes name it
 * @property {{since: string, sunset: string | null} | null} deprecated
 * @property {boolean} raw whether it answers with bytes of its own
 * @property {boolean} typed
 * @property {Schema} parameters
 * @property {string[]} files the parameters that a form sends as files
 * @property {Schema} result
 */
/** @typedef {MethodFields & Policy} Method */

/**
 * @typedef {object} ChannelFields
 * @property {string} pattern
 * @property {string} [summary]
 * @property {string} [description]
 * @property {number} history
 * @property {number} ttl
 * @property {boolean} presence whether subscribers may ask who is there
 */
/** @typedef {ChannelFields & Policy} Channel */

/** @typedef {{code: number, name: string, status: number, meaning: string, advice: string}} ErrorMeaning */

/**
 * @typedef {object} Service
 * @property {string} title
 * @property {string} version
 * @property {string} [description]
 * @property {boolean} by_url
 * @property {number} batch_limit 0 if there are no batches
 * @property {string} signing
 * @property {boolean} cookies
 * @property {string | null} socket the path of the WebSockets, from the root
 * @property {Record<string, string>} accounts
 * @property {ErrorMeaning[]} errors
 * @property {Method[]} methods
 * @property {Channel[]} channels
 * @property {Record<string, Schema>} schemas
 * @property {Caller} caller whom the service tells this
 */

/**
 * @typedef {object} Caller
 * @property {string | null} user
 * @property {string[] | null} scopes what the API key is for, if one calls
 * @property {boolean} isStray whether there is a cookie that this tab has no key for
 */

/**
 * The page's part of a session; `bearer` is an API key instead of one.
 * @typedef {object} Session
 * @property {string} session_id "" if a cookie has it
 * @property {string} user_id
 * @property {number} expires Unix seconds
 * @property {string} key for signatures, base64; or ""
 * @property {string} [bearer]
 */

/** @typedef {{path: string, kind: string, expected?: string, got?: string, nearest?: string}} Problem */
/** @typedef {{code: number, value: unknown, problems?: Problem[], ticket?: string, [name: string]: unknown}} CallError */
/** @typedef {{result?: unknown, error?: CallError, batch?: Record<string, any>, session?: any}} Message */

/**
 * @typedef {object} Outgoing
 * @property {"GET" | "POST"} verb
 * @property {string} url
 * @property {string} contentType
 * @property {Uint8Array<ArrayBuffer>} body
 * @property {Record<string, string>} headers
 * @property {string} shown the body as text
 * @property {[string, string | File][]} [form] the parts of a form, of which the body was made
 * @property {unknown[]} [named] the session ids among the parameters
 * @property {boolean} [isRaw] whether the method answers with bytes of its own
 */

/**
 * @typedef {object} Exchange
 * @property {Outgoing} request
 * @property {number} status 0 if nothing came back
 * @property {[string, string][]} headers
 * @property {Uint8Array<ArrayBuffer>} body
 * @property {string | null} text null if it is no text
 * @property {Message | null} message null if it is none of the service's
 * @property {number} milliseconds
 * @property {string} signature what the signature of the response says
 * @property {string} failure why nothing came back, or its session is not taken over; or ""
 */

export {};
