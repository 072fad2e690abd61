/**
 * Asks the page to log the user in, once for all calls of a session that were refused together.
 *
 * @typedef {import('./session.js').Session} Session
 * @typedef {(session: Session, sent: number, problem: any) => Promise<boolean>} Reauthenticate whether the calls go on;
 *   what was `sent` before the user had logged in needs no other login
 */

/**
 * @param {import('../index.d.ts').ClientOptions['onReauthenticate']} ask
 * @returns {Reauthenticate | undefined}
 */
export function askingOnce(ask) {
  /** @type {WeakMap<Session, { answer: Promise<boolean>, end: number }>} */
  const asked = new WeakMap();
  return (
    ask &&
    (async (session, sent, problem) => {
      const known = asked.get(session);
      if (known && sent <= known.end) return known.answer;
      const asking = { answer: Promise.resolve(ask(problem)).then((answer) => answer !== false), end: Infinity };
      asked.set(session, asking);
      return asking.answer.finally(() => {
        asking.end = Date.now();
      });
    })
  );
}
