/** The part of jQuery's jqXHR that Backbone and code around it use; a promise of the data as well. */
export class AjaxXhr {
  readyState = 0;
  status = 0;
  statusText = '';
  responseText = '';
  /** @type {any} */
  responseJSON = undefined;
  /** `success`, `error`, `timeout`, `abort`, `parsererror` or `canceled`. */
  outcome = 'success';
  /** @type {unknown} */
  error = undefined;
  headers;

  #controller = new AbortController();
  #responseHeaders = new Headers();
  #promise = Promise.resolve();

  /** @param {HeadersInit} [headers] */
  constructor(headers) {
    this.headers = new Headers(headers);
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  get signal() {
    return this.#controller.signal;
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  setRequestHeader(name, value) {
    this.headers.set(name, value);
    return this;
  }

  /** @param {string} name */
  getResponseHeader(name) {
    return this.#responseHeaders.get(name);
  }

  getAllResponseHeaders() {
    return [...this.#responseHeaders].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  }

  abort(outcome = 'abort') {
    if (this.readyState === 4) return this;
    this.#controller.abort(new DOMException(outcome, 'AbortError'));
    this.outcome = outcome;
    return this;
  }

  /** @param {Response} response */
  async receive(response) {
    this.#responseHeaders = response.headers;
    this.responseText = await response.text();
    this.status = response.status;
    this.statusText = response.statusText;
    this.readyState = 4;
    if (/[/+]json\b/.test(response.headers.get('content-type') ?? '')) this.responseJSON = parsed(this.responseText);
  }

  /**
   * Notes why it failed, and makes what the promise rejects with: an error, because a rejected xhr, being a promise
   * itself, could not be returned from a handler. An abort is the reason for whatever fails after it.
   * @param {string} outcome
   * @param {unknown} [error]
   */
  fail(outcome, error = this.statusText) {
    if (!this.signal.aborted) this.outcome = outcome;
    this.error = error;
    this.readyState = 4;
    const message = `${this.outcome} ${this.status || ''}`.trim();
    return Object.assign(new Error(message, { cause: error }), { xhr: this, status: this.status });
  }

  /** @param {Promise<any>} promise */
  settleWith(promise) {
    this.#promise = promise;
    // Callers that use callbacks only never look at the promise.
    promise.catch(() => {});
  }

  /**
   * @param {any} [onDone]
   * @param {any} [onFail]
   */
  then(onDone, onFail) {
    return this.#promise.then(onDone, onFail);
  }

  /** @param {any} onFail */
  catch(onFail) {
    return this.#promise.catch(onFail);
  }

  /** @param {any} onSettled */
  finally(onSettled) {
    return this.#promise.finally(onSettled);
  }
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
