/** What `fetch` cannot do, over tickets or signed fields. */

import { sendBeacon } from './beacon.js';
import { EventStream } from './event-stream.js';
import { ticketFor } from './ticket.js';
import { openSocket } from './socket.js';

/**
 * @param {import('../client.js').Client} client
 * @returns {Pick<import('../../index.d.ts').Client, 'ticket' | 'webSocket' | 'eventSource' | 'beacon'>}
 */
export function transportsOf(client) {
  return {
    ticket: (url, call) => ticketFor(client, url, call),
    webSocket: (url, protocols) => openSocket(client, url, protocols),
    eventSource: (url, init) => new EventStream(client, url, init),
    beacon: (url, body) => sendBeacon(client, url, body),
  };
}
