/**
 * @typedef {import('../index.d.ts').ClientOptions} ClientOptions
 * @typedef {import('./recovery.js').Attempt} Attempt
 * @typedef {{ request: Request, body: ArrayBuffer | undefined }} Call
 */

import { Clock } from './clock.js';
import { contentDigest } from './digest.js';
import { PortcullisError, problemOf } from './problem.js';
import { recoveryFor } from './recovery.js';
import { openSession } from './session.js';
import { Sessions } from './sessions.js';
import { signatureFields } from './sign.js';

const SESSION_PATH = '/.well-known/portcullis/session';
const MAX_RETRIES = 2;

/**
 * A client of one gate. `client.fetch` is a drop-in for `fetch`.
 * @param {ClientOptions} [options]
 */
export function createClient(options) {
  const client = new Client(options);
  return Object.freeze({
    fetch: client.fetch.bind(client),
    session: client.session.bind(client),
    close: client.close.bind(client),
  });
}

class Client {
  #origin;
  #crypto;
  #fetch;
  #means;
  #closed = false;

  /** @param {ClientOptions} [options] */
  constructor(options = {}) {
    this.#origin = new URL(options.origin ?? globalThis.location?.origin ?? missingOrigin()).origin;
    this.#crypto = options.crypto ?? globalThis.crypto;
    this.#fetch = options.fetch ?? ((/** @type {[any]} */ ...args) => globalThis.fetch(...args));
    const clock = new Clock();
    const endpoint = new URL(options.endpoint ?? SESSION_PATH, this.#origin);
    const sessions = new Sessions(() => this.#open(endpoint, clock), clock);
    this.#means = { sessions, clock, reauthenticate: oncePerSession(options.onReauthenticate) };
  }

  /**
   * @param {RequestInfo | URL} input
   * @param {RequestInit} [init]
   * @returns {Promise<Response>}
   */
  async fetch(input, init) {
    const url = new URL(input instanceof Request ? input.url : input, baseAddress() ?? this.#origin);
    if (url.origin !== this.#origin) return this.#fetch(input, init);
    const call = await prepare(new Request(input instanceof Request ? input : url, init));
    const session = await unlessAborted(call.request.signal, this.#means.sessions.current());
    return this.#send(call, { session, nonce: session.nonces.next() });
  }

  /** What is known of the session, opening it if there is none. No key. */
  async session() {
    const { id, alg, expiresAt } = await this.#means.sessions.current();
    return { id, alg, expiresAt: new Date(expiresAt * 1000) };
  }

  /** Forgets the session and its key. */
  close() {
    this.#closed = true;
    this.#means.sessions.forget();
  }

  /**
   * @param {URL} endpoint
   * @param {Clock} clock
   */
  async #open(endpoint, clock) {
    if (this.#closed) throw new PortcullisError('closed', 'This client was closed.');
    return openSession({ endpoint, fetch: this.#fetch, crypto: this.#crypto, clock });
  }

  /**
   * Sends until the answer is one for the caller.
   * @param {Call} call
   * @param {Attempt} attempt
   */
  async #send(call, attempt) {
    const spent = new Set();
    for (;;) {
      const response = await this.#sendOnce(call, attempt);
      if (response.status !== 401 || spent.size === MAX_RETRIES) return response;
      const next = await unlessAborted(call.request.signal, this.#recover(call, attempt, response, spent));
      if (!next) return response;
      ({ call, attempt } = next);
    }
  }

  /**
   * @param {Call} call
   * @param {Attempt} attempt
   */
  async #sendOnce({ request, body }, { session, nonce }) {
    const { subtle } = this.#crypto;
    const { method } = request;
    const headers = new Headers(request.headers);
    const hasBody = body !== undefined && body.byteLength > 0;
    if (hasBody) headers.set('content-digest', await contentDigest(subtle, body));
    const created = Math.floor(this.#means.clock.now());
    const parameters = { created, nonce, keyid: session.id, alg: session.alg, tag: session.profile.tag };
    const message = { method, url: new URL(request.url), headers, hasBody };
    const fields = await signatureFields(subtle, session.key, session.profile, message, parameters);
    for (const [name, value] of Object.entries(fields)) headers.set(name, value);
    return this.#fetch(new Request(request, { headers, body }));
  }

  /**
   * @param {Call} call
   * @param {Attempt} attempt
   * @param {Response} response
   * @param {Set<string>} spent
   */
  async #recover(call, attempt, response, spent) {
    const problem = await problemOf(response);
    const recovery = recoveryFor(problem, response.headers);
    if (!recovery) return undefined;
    if (response.redirected) return this.#followRedirect(call, attempt, response, spent);
    if (spent.has(recovery.kind)) return undefined;
    spent.add(recovery.kind);
    const { method } = call.request;
    const next = await recovery.recover({ method, attempt, response, problem }, this.#means);
    return next && { call, attempt: next };
  }

  /**
   * The browser followed a redirect with the signature of the first address, and the gate refused that. Sending the
   * first request again could repeat what it did, so only the step that failed is made again, where it is safe.
   *
   * @param {Call} call
   * @param {Attempt} attempt
   * @param {Response} response
   * @param {Set<string>} spent
   */
  #followRedirect({ request, body }, { session }, response, spent) {
    const isSafe = request.method === 'GET' || request.method === 'HEAD';
    if (!isSafe || spent.has('redirect') || new URL(response.url).origin !== this.#origin) return undefined;
    spent.add('redirect');
    const call = { request: new Request(response.url, request), body };
    return { call, attempt: { session, nonce: session.nonces.next() } };
  }
}

/**
 * Reads the body once: what is hashed is what is sent.
 * @param {Request} request
 * @returns {Promise<Call>}
 */
async function prepare(request) {
  request.signal.throwIfAborted();
  if (request.method === 'GET' || request.method === 'HEAD') return { request, body: undefined };
  const bytes = await request.arrayBuffer();
  return { request, body: request.bodyUsed ? bytes : undefined };
}

/**
 * Rejects as soon as the caller gives up, while the shared work goes on for the others.
 * @template T
 * @param {AbortSignal} signal
 * @param {Promise<T>} work
 * @returns {Promise<T>}
 */
function unlessAborted(signal, work) {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(signal.reason);
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp);
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}

/**
 * Asks the page once for each session that has to be renewed, however many calls were refused.
 * @param {ClientOptions['onReauthenticate']} ask
 */
function oncePerSession(ask) {
  /** @type {WeakMap<object, Promise<boolean>>} */
  const asked = new WeakMap();
  return (/** @type {object} */ session, /** @type {any} */ problem) => {
    if (!asked.has(session))
      asked.set(
        session,
        Promise.resolve(ask?.(problem)).then((answer) => answer !== false),
      );
    return /** @type {Promise<boolean>} */ (asked.get(session));
  };
}

/** What relative addresses are relative to, now: it changes with `history.pushState`. */
function baseAddress() {
  return globalThis.document?.baseURI ?? globalThis.location?.href;
}

/** @returns {never} */
function missingOrigin() {
  throw new TypeError('createClient: `origin` is needed where there is no page, for instance in Node.');
}
