/**
 * `EventSource` over the client: signed in its fields, so that each connection is signed anew and a refusal can be read.
 * The browser's own would send a spent ticket again when it reconnects.
 */

import { PortcullisError, problemOf } from '../problem.js';
import { EventParser } from './event-parser.js';

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 2;
/** Milliseconds between two connections, until the server says otherwise. */
const RETRY = 3000;
/** Refusals that pass. */
const PASSING = new Set(['overloaded', 'quota-exceeded', 'upstream-unavailable', 'upstream-timeout']);

export class EventStream extends EventTarget {
  CONNECTING = CONNECTING;
  OPEN = OPEN;
  CLOSED = CLOSED;
  readyState = CONNECTING;
  url;
  withCredentials;
  /** @type {((event: Event) => any) | null} */
  onopen = null;
  /** @type {((event: MessageEvent) => any) | null} */
  onmessage = null;
  /** @type {((event: Event) => any) | null} */
  onerror = null;

  #client;
  #ending = new AbortController();
  #parser = new EventParser(RETRY);

  /**
   * @param {import('../client.js').Client} client
   * @param {string | URL} url
   * @param {EventSourceInit} [init]
   */
  constructor(client, url, { withCredentials = false } = {}) {
    super();
    this.#client = client;
    this.url = client.addressOf(url).href;
    this.withCredentials = withCredentials;
    this.#run().catch((error) => this.#fail(error));
  }

  close() {
    this.readyState = CLOSED;
    this.#ending.abort();
  }

  async #run() {
    while (this.readyState !== CLOSED) {
      try {
        await this.#connect();
      } catch (error) {
        if (!(error instanceof TypeError) && !PASSING.has(/** @type {any} */ (error).code)) throw error;
      }
      if (this.readyState === CLOSED) return;
      this.readyState = CONNECTING;
      this.#tell(new Event('error'));
      await new Promise((resolve) => setTimeout(resolve, this.#parser.retry));
    }
  }

  /** One connection, from its opening to its end. */
  async #connect() {
    const { lastEventId } = this.#parser;
    const response = await this.#client.fetch(this.url, {
      headers: { accept: 'text/event-stream', ...(lastEventId && { 'last-event-id': lastEventId }) },
      cache: 'no-store',
      credentials: this.withCredentials ? 'include' : 'same-origin',
      signal: this.#ending.signal,
    });
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
    if (response.status !== 200 || !isStream || !response.body) throw await refusalOf(response);
    this.readyState = OPEN;
    this.#tell(new Event('open'));
    await this.#read(response.body);
  }

  /** @param {ReadableStream<Uint8Array>} body */
  async #read(body) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const { origin } = new URL(this.url);
    this.#parser.begin();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const { type, data, lastEventId } of this.#parser.take(decoder.decode(value, { stream: true }))) {
        if (this.readyState === CLOSED) return;
        this.#tell(new MessageEvent(type, { data, lastEventId, origin }));
      }
    }
  }

  /** For good. @param {unknown} error */
  #fail(error) {
    if (this.readyState === CLOSED) return;
    this.close();
    this.#tell(Object.assign(new Event('error'), { error }));
  }

  /** @param {Event} event */
  #tell(event) {
    const handler = { open: this.onopen, message: this.onmessage, error: this.onerror }[event.type];
    handler?.call(this, /** @type {any} */ (event));
    this.dispatchEvent(event);
  }
}

/** @param {Response} response */
async function refusalOf(response) {
  const { status } = response;
  return (await problemOf(response)) ?? new PortcullisError('no-event-stream', `No event stream: ${status}.`, { status });
}
