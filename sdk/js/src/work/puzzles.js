/**
 * The puzzles of docs/protocol.md section 1, "Work": numbers whose hash begins with zero bits.
 *
 * @typedef {{ algorithm: string, challenge: string, count: number, bits: number }} Work
 */

import { hasherAfter } from './sha256.js';

/** Attempts between two looks at the clock: about a millisecond. */
const BATCH = 1000;

/**
 * Solves all puzzles, and stops after each batch so that its user can look at the clock.
 * @param {Work} work
 * @returns {Generator<undefined, number[], undefined>}
 */
export function* solving({ challenge, count, bits }) {
  const answers = [];
  for (let puzzle = 0; puzzle < count; puzzle += 1) {
    const hash = hasherAfter(`${challenge}.${puzzle}.`);
    let number = 0;
    while (Math.clz32(hash(`${number}`)[0]) < bits) {
      number += 1;
      if (number % BATCH === 0) yield;
    }
    answers.push(number);
  }
  return answers;
}
