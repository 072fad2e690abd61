import { PortcullisError, problemOf } from '../problem.js';
import { httpAddress, ticketFor } from './ticket.js';

const ATTEMPTS = 2;

/**
 * A WebSocket that is open. The browser does not say why a socket was refused, so a signed call asks: it gets over what
 * the client can get over, and its refusal is the reason otherwise.
 *
 * @param {import('../client.js').Client} client
 * @param {string | URL} url `ws:`, `wss:` or relative to the page
 * @param {string | string[]} [protocols]
 * @returns {Promise<WebSocket>}
 */
export async function openSocket(client, url, protocols) {
  const address = client.addressOf(url);
  address.protocol = address.protocol.replace('http', 'ws');
  for (let attempt = 1; ; attempt += 1) {
    const socket = new WebSocket(await ticketFor(client, address, {}), protocols);
    if (await isOpened(socket)) return socket;
    const refusal = client.isOurs(address) ? await refusalOf(client, address) : undefined;
    if (refusal) throw refusal;
    if (attempt === ATTEMPTS) throw new PortcullisError('socket-failed', `No WebSocket at ${address.pathname}.`);
  }
}

/** @param {WebSocket} socket @returns {Promise<boolean>} */
function isOpened(socket) {
  return new Promise((resolve) => {
    socket.addEventListener('open', () => resolve(true), { once: true });
    socket.addEventListener('close', () => resolve(false), { once: true });
  });
}

/**
 * @param {import('../client.js').Client} client
 * @param {URL} address
 */
async function refusalOf(client, address) {
  const answer = await client.fetch(httpAddress(address), { cache: 'no-store' });
  const problem = await problemOf(answer);
  await answer.body?.cancel();
  return problem;
}
