/** The client without tickets and adapters, for pages where each byte counts. */

import { Client, faceOf } from './client.js';

/**
 * A client of one gate. `client.fetch` is a drop-in for `fetch`.
 * @param {import('../index.d.ts').ClientOptions} [options]
 */
export function createClient(options) {
  return Object.freeze(faceOf(new Client(options)));
}

export { PortcullisError, problemOf } from './problem.js';
