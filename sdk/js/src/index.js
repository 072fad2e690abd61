/** The whole client. */

import { Client, faceOf } from './client.js';
import { transportsOf } from './transports/transports.js';

/**
 * A client of one gate. `client.fetch` is a drop-in for `fetch`; the rest is for what cannot carry header fields.
 * @param {import('../index.d.ts').ClientOptions} [options]
 */
export function createClient(options) {
  const client = new Client(options);
  return Object.freeze({ ...faceOf(client), ...transportsOf(client) });
}

export { installBackbone } from './adapters/backbone.js';
export { installJQuery } from './adapters/jquery.js';
export { PortcullisError, problemOf } from './problem.js';
