import { toBase64Url } from './encoding.js';

/** What a nonce of the gate looks like inside `Accept-Signature`. */
const OFFERED_NONCE = /;\s*nonce="(~[\w-]{8,32})\.0"/;

/** Hands out the nonces `<stream>.<counter>` of one session, each once. */
export class Nonces {
  /** Whether the gate is known to take this stream: tickets must not be the first to try, for nobody sees them refused. */
  isProven;
  #stream;
  #counter = 0;

  /**
   * @param {Crypto} crypto
   * @param {boolean} isProven whether the session is new
   */
  constructor(crypto, isProven) {
    this.isProven = isProven;
    this.#stream = toBase64Url(crypto.getRandomValues(new Uint8Array(16)));
  }

  next() {
    return `${this.#stream}.${this.#counter++}`;
  }

  /**
   * The nonce to sign with after `fresh-nonce-required`.
   *
   * One offer is enough for all calls that were refused together: the first to come back takes its stream, the
   * others go on counting in it. The gate keeps only a few streams of a session, so taking up every offer of a
   * burst would push the streams of the calls before out of its memory.
   *
   * @param {string} refused the nonce that the gate did not accept
   * @param {Headers} headers of that answer
   * @returns {string | undefined} nothing if the answer offers no nonce
   */
  afterRefusal(refused, headers) {
    const offered = offeredStream(headers);
    if (!offered) return undefined;
    if (streamOf(refused) === this.#stream) {
      this.#stream = offered;
      this.#counter = 0;
    }
    return this.next();
  }
}

/** @param {Headers} headers */
export function offersNonce(headers) {
  return offeredStream(headers) !== undefined;
}

/** @param {Headers} headers */
function offeredStream(headers) {
  return OFFERED_NONCE.exec(headers.get('accept-signature') ?? '')?.[1];
}

/** @param {string} nonce */
function streamOf(nonce) {
  return nonce.slice(0, nonce.lastIndexOf('.'));
}
