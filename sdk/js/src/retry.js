/** What passes by itself: a lost connection, a busy gate. */

import { PortcullisError, problemOf } from './problem.js';

/** Seconds. Who has to wait longer is told so instead. */
const LONGEST_WAIT = 5;
/** Seconds that a call waits for a browser that is offline. */
const OFFLINE_PATIENCE = 30;

const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);
/** The application did not see the call. */
const TOO_BUSY = new Set(['quota-exceeded', 'overloaded']);

/**
 * Seconds after which the call is worth another try; nothing if this outcome is the caller's.
 * @param {string} method
 * @param {{ response?: Response, error?: unknown }} outcome
 * @param {number} attempts so far
 */
export async function waitBeforeRetry(method, { response, error }, attempts) {
  const pause = 2 ** attempts / 5;
  // What fetch throws when there is no answer.
  if (error instanceof TypeError) return IDEMPOTENT.has(method) ? pause : undefined;
  const problem = error ?? (response && response.status > 401 ? await problemOf(response) : undefined);
  if (!(problem instanceof PortcullisError)) return undefined;
  const isSafe = TOO_BUSY.has(problem.code) || (problem.code === 'upstream-unavailable' && IDEMPOTENT.has(method));
  const wait = problem.retryAfter ?? pause;
  return isSafe && wait <= LONGEST_WAIT ? wait : undefined;
}

/**
 * Waits; where the browser is offline, until it is online.
 * @param {number} seconds
 * @param {AbortSignal} signal
 */
export function pause(seconds, signal) {
  const isOffline = globalThis.navigator?.onLine === false;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, (isOffline ? OFFLINE_PATIENCE : seconds) * 1000);
    if (isOffline) addEventListener('online', resolve, { once: true, signal });
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
