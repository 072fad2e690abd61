/**
 * The format `text/event-stream`, as the HTML standard reads it.
 *
 * @typedef {{ type: string, data: string, lastEventId: string }} StreamEvent
 */
export class EventParser {
  /** Milliseconds. */
  retry;
  lastEventId = '';

  #rest = '';
  #type = '';
  /** @type {string[]} */
  #data = [];
  #id = '';

  /** @param {number} retry milliseconds */
  constructor(retry) {
    this.retry = retry;
  }

  /** A new connection: what was left of the last one is void. */
  begin() {
    this.#rest = '';
    this.#type = '';
    this.#data = [];
    this.#id = this.lastEventId;
  }

  /**
   * @param {string} text as it came, cut anywhere
   * @returns {StreamEvent[]} the events that it completes
   */
  take(text) {
    // A carriage return at the end may be half of an end of line.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    return lines.flatMap((line) => this.#line(line));
  }

  /** @param {string} line @returns {StreamEvent[]} */
  #line(line) {
    if (line === '') return this.#complete();
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') this.#data.push(value);
    if (name === 'event') this.#type = value;
    if (name === 'id' && !value.includes('\0')) this.#id = value;
    if (name === 'retry' && /^\d+$/.test(value)) this.retry = Number(value);
    return [];
  }

  /** @returns {StreamEvent[]} */
  #complete() {
    this.lastEventId = this.#id;
    const event = { type: this.#type || 'message', data: this.#data.join('\n'), lastEventId: this.#id };
    const isEmpty = this.#data.length === 0;
    this.#type = '';
    this.#data = [];
    return isEmpty ? [] : [event];
  }
}
