import { ticketFor } from './ticket.js';

/**
 * `navigator.sendBeacon` with a ticket. What is hashed is what is sent.
 * @param {import('../client.js').Client} client
 * @param {string | URL} url
 * @param {BodyInit | null} [body]
 * @returns {Promise<boolean>} whether the browser took it
 */
export async function sendBeacon(client, url, body) {
  const message = new Response(body);
  const type = message.headers.get('content-type') ?? '';
  const bytes = body ? await message.arrayBuffer() : undefined;
  const address = await ticketFor(client, url, { method: 'POST', body: bytes });
  return navigator.sendBeacon(address, bytes && new Blob([bytes], { type }));
}
