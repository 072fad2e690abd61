/** Signatures in the query, for what cannot carry header fields (docs/protocol.md, "Tickets"). */

import { contentDigest } from '../digest.js';
import { toBase64Url } from '../encoding.js';
import { sign } from '../sign.js';

/** @typedef {import('../client.js').Client} Client */

const PARAMETER = 'portcullis-ticket';
const TAG = 'portcullis-ticket-1';

/**
 * The address with a signature in its query, good once and for half a minute. Other origins get no ticket.
 * @param {Client} client
 * @param {string | URL} input
 * @param {{ method?: string, body?: BodyInit | null }} [call]
 * @returns {Promise<string>}
 */
export async function ticketFor(client, input, { method = 'GET', body } = {}) {
  const url = client.addressOf(input);
  if (!client.isOurs(url)) return url.href;
  await prove(client, url);
  const bytes = body ? await new Response(body).arrayBuffer() : undefined;
  const session = await client.sessions.current();
  const created = Math.floor(client.clock.now());
  const parameters = {
    created,
    expires: created + session.profile.max_age,
    nonce: session.nonces.next(),
    keyid: session.id,
    alg: session.alg,
    tag: TAG,
    ...(bytes?.byteLength && { digest: await contentDigest(client.crypto.subtle, bytes) }),
  };
  const message = { method: method.toUpperCase(), url, headers: new Headers(), hasBody: false };
  const { components } = session.profile;
  const { input: signed, signature } = await sign(client.crypto.subtle, session.key, message, components, parameters);
  const query = url.search && `${url.search}&`;
  url.search = `${query}${PARAMETER}=${toBase64Url(new TextEncoder().encode(signed))}.${toBase64Url(signature)}`;
  return url.href;
}

/**
 * Nobody sees why a ticket is refused, so the first nonce of a stream goes with a call whose refusal can be read.
 * @param {Client} client
 * @param {URL} url
 */
async function prove(client, url) {
  const { nonces } = await client.sessions.current();
  if (!nonces.isProven) await client.fetch(httpAddress(url), { method: 'HEAD' });
}

/** `ws:` → `http:`, `wss:` → `https:`. @param {URL} url */
export function httpAddress(url) {
  return new URL(url.href.replace(/^ws/, 'http'));
}
