/**
 * What a call does after a refusal (docs/protocol.md section 4). Each recovery makes the next attempt, or nothing if the
 * refusal stands. No call recovers twice in the same way.
 *
 * @typedef {import('./session.js').Session} Session
 * @typedef {import('./problem.js').PortcullisError} PortcullisError
 * @typedef {{ session: Session, nonce: string, sent?: number }} Attempt `sent` in milliseconds
 * @typedef {{ method: string, attempt: Attempt, response: Response, problem?: PortcullisError }} Refusal
 * @typedef {{
 *   sessions: import('./sessions.js').Sessions,
 *   reauthenticate?: import('./reauthentication.js').Reauthenticate,
 * }} Means
 * @typedef {(refusal: Refusal, means: Means) => Attempt | undefined | Promise<Attempt | undefined>} Recovery
 */

import { offersNonce } from './nonce.js';

/** @type {Map<string, Recovery>} */
const RECOVERIES = new Map([
  ['signature-expired', correctClock],
  ['signature-from-future', correctClock],
  ['nonce-reused', takeNextNonce],
  ['fresh-nonce-required', takeOfferedNonce],
  ['signature-invalid', renewSession],
  ['session-invalid', renewSession],
  ['reauthentication-required', renewSession],
]);

/**
 * @param {PortcullisError | undefined} problem
 * @param {Headers} headers of the refusal
 */
export function recoveryFor(problem, headers) {
  return problem ? RECOVERIES.get(problem.code) : recoveryWithoutDocument(headers);
}

/**
 * The answer to a HEAD has no document. A new session sets the clock and the nonces right as well.
 * @param {Headers} headers
 */
function recoveryWithoutDocument(headers) {
  if (!headers.get('www-authenticate')?.includes('realm="portcullis"')) return undefined;
  return offersNonce(headers) ? takeOfferedNonce : renewSession;
}

/** @type {Recovery} */
function correctClock({ attempt, problem }, { sessions }) {
  if (typeof problem?.serverTime !== 'number') return undefined;
  sessions.correctClock(problem.serverTime);
  return sameSession(attempt);
}

/**
 * The first sending may have reached the application, so only what is safe to repeat is repeated.
 * @type {Recovery}
 */
function takeNextNonce({ method, attempt }) {
  return method === 'GET' || method === 'HEAD' ? sameSession(attempt) : undefined;
}

/** @type {Recovery} */
function takeOfferedNonce({ attempt, response }) {
  const { session } = attempt;
  const nonce = session.nonces.afterRefusal(attempt.nonce, response.headers);
  return nonce === undefined ? undefined : { session, nonce };
}

/**
 * A new session, or the same after the user has logged in, where the gate knows the application's login.
 * @type {Recovery}
 */
export async function renewSession({ attempt, problem }, { reauthenticate, sessions }) {
  const { session, sent = 0 } = attempt;
  const byLogin = problem?.reauthenticate === 'login';
  if (byLogin && !reauthenticate) return undefined;
  const next = byLogin ? session : await sessions.replace(session);
  const mayGoOn = problem?.code !== 'reauthentication-required' || ((await reauthenticate?.(session, sent, problem)) ?? true);
  return mayGoOn ? sameSession({ session: next }) : undefined;
}

/** @param {{ session: Session }} attempt @returns {Attempt} */
function sameSession({ session }) {
  return { session, nonce: session.nonces.next() };
}
