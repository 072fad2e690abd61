/**
 * @typedef {import('../index.d.ts').ClientOptions} ClientOptions
 * @typedef {import('./recovery.js').Attempt} Attempt
 * @typedef {{ request: Request, body: ArrayBuffer | undefined }} Call
 */

import { Clock } from './clock.js';
import { contentDigest } from './digest.js';
import { problemOf } from './problem.js';
import { askingOnce } from './reauthentication.js';
import { recoveryFor, renewSession } from './recovery.js';
import { pause, waitBeforeRetry } from './retry.js';
import { openSession } from './session.js';
import { Sessions } from './sessions.js';
import { signatureFields } from './sign.js';
import { Store } from './store.js';

const SESSION_PATH = '/.well-known/portcullis/session';
const MAX_RECOVERIES = 2;
const MAX_RETRIES = 2;

/** What `createClient` makes, from the inside: `index.js` and `core.js` say what of it users see. */
export class Client {
  #fetch;
  #retries;
  #means;

  /** @param {ClientOptions} [options] */
  constructor(options = {}) {
    this.origin = new URL(options.origin ?? globalThis.location?.origin ?? missingOrigin()).origin;
    this.crypto = options.crypto ?? globalThis.crypto;
    this.#fetch = options.fetch ?? ((/** @type {[any]} */ ...args) => globalThis.fetch(...args));
    this.clock = new Clock();
    this.#retries = options.retries ?? MAX_RETRIES;
    const { algorithm = 'hmac-sha256', storage = globalThis.indexedDB ? 'indexeddb' : 'memory' } = options;
    const endpoint = new URL(options.endpoint ?? SESSION_PATH, this.origin);
    const store = storage === 'memory' ? undefined : new Store(`${endpoint} ${algorithm}`);
    const means = { endpoint, algorithm, fetch: this.#fetch, crypto: this.crypto, clock: this.clock, store };
    this.sessions = new Sessions(() => openSession(means), means);
    this.#means = { sessions: this.sessions, reauthenticate: askingOnce(options.onReauthenticate) };
  }

  /**
   * @param {RequestInfo | URL} input
   * @param {RequestInit} [init]
   * @returns {Promise<Response>}
   */
  async fetch(input, init) {
    const url = this.addressOf(input instanceof Request ? input.url : input);
    if (!this.isOurs(url)) return this.#fetch(input, init);
    const call = await prepare(new Request(input instanceof Request ? input : url, init));
    const { method, signal } = call.request;
    for (let attempts = 0; ; attempts += 1) {
      const outcome = await this.#send(call).then(
        (response) => ({ response, error: undefined }),
        (error) => ({ response: undefined, error }),
      );
      const isLast = attempts >= this.#retries || signal.aborted;
      const wait = isLast ? undefined : await waitBeforeRetry(method, outcome, attempts);
      if (wait === undefined) return outcome.response ?? Promise.reject(outcome.error);
      await pause(wait, signal);
    }
  }

  /** What is known of the session, obtaining one if there is none. No key. */
  async session() {
    const { id, alg, expiresAt } = await this.sessions.current();
    return { id, alg, expiresAt: new Date(expiresAt * 1000) };
  }

  /** Forgets the session and its key, for the pages to come as well. */
  close() {
    return this.sessions.close();
  }

  /** Whether this gate signs for it; the scheme of sockets counts as that of pages. @param {URL} url */
  isOurs({ origin }) {
    return origin.replace(/^ws/, 'http') === this.origin;
  }

  /** Relative to the page as it is now: `history.pushState` changes it. @param {string | URL} address */
  addressOf(address) {
    return new URL(address, globalThis.document?.baseURI ?? globalThis.location?.href ?? this.origin);
  }

  /**
   * Signs and sends until the gate takes it, or its refusal is one for the caller.
   * @param {Call} call
   */
  async #send(call) {
    const { signal } = call.request;
    const session = await unlessAborted(signal, this.sessions.current());
    /** @type {Attempt} */
    let attempt = { session, nonce: session.nonces.next() };
    const spent = new Set();
    for (;;) {
      const response = await this.#sendOnce(call, attempt);
      if (response.status !== 401) attempt.session.nonces.isProven = true;
      if (response.status !== 401 || spent.size === MAX_RECOVERIES) return response;
      const next = await unlessAborted(signal, this.#recover(call, attempt, response, spent));
      if (!next) return response;
      ({ call, attempt } = next);
    }
  }

  /**
   * @param {Call} call
   * @param {Attempt} attempt
   */
  async #sendOnce({ request, body }, attempt) {
    const { session, nonce } = attempt;
    const { subtle } = this.crypto;
    const { method } = request;
    const headers = new Headers(request.headers);
    const hasBody = body !== undefined && body.byteLength > 0;
    if (hasBody) headers.set('content-digest', await contentDigest(subtle, body));
    const created = Math.floor(this.clock.now());
    const parameters = { created, nonce, keyid: session.id, alg: session.alg, tag: session.profile.tag };
    const message = { method, url: new URL(request.url), headers, hasBody };
    const fields = await signatureFields(subtle, session.key, session.profile, message, parameters);
    for (const [name, value] of Object.entries(fields)) headers.set(name, value);
    attempt.sent = Date.now();
    return this.#fetch(new Request(request, { headers, body }));
  }

  /**
   * @param {Call} call
   * @param {Attempt} attempt
   * @param {Response} response
   * @param {Set<unknown>} spent
   */
  async #recover(call, attempt, response, spent) {
    const problem = await problemOf(response);
    const recover = recoveryFor(problem, response.headers);
    if (!recover) return undefined;
    if (response.redirected) return this.#followRedirect(call, attempt, response, spent);
    if (spent.has(recover)) return undefined;
    spent.add(recover);
    const { method } = call.request;
    const next = await recover({ method, attempt, response, problem }, this.#means);
    // A session that another tab left may be dead as well.
    if (next && !next.session.nonces.isProven) spent.delete(renewSession);
    return next && { call, attempt: next };
  }

  /**
   * The browser followed a redirect with the signature of the first address, and the gate refused that. Sending the
   * first request again could repeat what it did, so only the step that failed is made again, where it is safe.
   *
   * @param {Call} call
   * @param {Attempt} attempt
   * @param {Response} response
   * @param {Set<unknown>} spent
   */
  #followRedirect({ request, body }, { session }, response, spent) {
    const isSafe = request.method === 'GET' || request.method === 'HEAD';
    if (!isSafe || spent.has('redirect') || !this.isOurs(new URL(response.url))) return undefined;
    spent.add('redirect');
    const call = { request: new Request(response.url, request), body };
    return { call, attempt: { session, nonce: session.nonces.next() } };
  }
}

/** What a page sees of a client. @param {Client} client */
export function faceOf(client) {
  return {
    fetch: client.fetch.bind(client),
    session: client.session.bind(client),
    close: client.close.bind(client),
  };
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

/** @returns {never} */
function missingOrigin() {
  throw new TypeError('createClient: `origin` is needed where there is no page.');
}
