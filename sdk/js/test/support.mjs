import { createClient } from '../src/index.js';
import { startGate } from './gate/gate.js';

/** The upstream of most tests: says what reached it. */
export function echo({ method, target, fields, body }) {
  return {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ method, target, fields, body: body.toString('base64') }),
  };
}

/** A running gate and a client of it; both end with the test. */
export async function gateAndClient(t, { upstream = echo, ...options } = {}) {
  const gate = await startGate({ upstream });
  t.after(() => gate.stop());
  const client = createClient({ origin: gate.origin, ...options });
  return { gate, client };
}

/** A `fetch` that notes what it was given. */
export function spyingFetch() {
  const requests = [];
  const spy = (input, init) => {
    requests.push(input instanceof Request ? input.clone() : input);
    return fetch(input, init);
  };
  return { spy, requests };
}

export function signedNonces(requests) {
  return requests
    .filter((request) => request instanceof Request)
    .map((request) => /;nonce="([^"]*)"/.exec(request.headers.get('signature-input') ?? '')?.[1])
    .filter(Boolean);
}
