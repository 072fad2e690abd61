/**
 * What a call does after a refusal (docs/protocol.md section 4). Each recovery makes the next attempt, or nothing if the
 * refusal stands.
 *
 * @typedef {import('./session.js').Session} Session
 * @typedef {import('./problem.js').PortcullisError} PortcullisError
 * @typedef {{ session: Session, nonce: string }} Attempt
 * @typedef {{ method: string, attempt: Attempt, response: Response, problem?: PortcullisError }} Refusal
 * @typedef {{
 *   sessions: import('./sessions.js').Sessions,
 *   clock: import('./clock.js').Clock,
 *   reauthenticate: (stale: Session, problem?: PortcullisError) => Promise<boolean>,
 * }} Means
 * @typedef {(refusal: Refusal, means: Means) => Attempt | undefined | Promise<Attempt | undefined>} Recovery
 */

import { offersNonce } from './nonce.js';

/** No call recovers twice by the same kind. */
const CLOCK = { kind: 'clock', recover: correctClock };
const REPLAY = { kind: 'replay', recover: takeNextNonce };
const FRESH_NONCE = { kind: 'fresh-nonce', recover: takeOfferedNonce };
const NEW_SESSION = { kind: 'session', recover: replaceSession };
const REAUTHENTICATION = { kind: 'session', recover: reauthenticate };

/** @type {Map<string, { kind: string, recover: Recovery }>} */
const RECOVERIES = new Map([
  ['signature-expired', CLOCK],
  ['signature-from-future', CLOCK],
  ['nonce-reused', REPLAY],
  ['fresh-nonce-required', FRESH_NONCE],
  ['signature-invalid', NEW_SESSION],
  ['session-invalid', NEW_SESSION],
  ['reauthentication-required', REAUTHENTICATION],
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
  return offersNonce(headers) ? FRESH_NONCE : NEW_SESSION;
}

/** @type {Recovery} */
function correctClock({ attempt, problem }, { clock }) {
  if (typeof problem?.serverTime !== 'number') return undefined;
  clock.correct(problem.serverTime);
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

/** @type {Recovery} */
async function replaceSession({ attempt }, { sessions }) {
  const session = await sessions.replace(attempt.session);
  return { session, nonce: session.nonces.next() };
}

/** @type {Recovery} */
async function reauthenticate(refusal, means) {
  const next = await replaceSession(refusal, means);
  const goOn = await means.reauthenticate(refusal.attempt.session, refusal.problem);
  return goOn ? next : undefined;
}

/** @param {Attempt} attempt @returns {Attempt} */
function sameSession({ session }) {
  return { session, nonce: session.nonces.next() };
}
