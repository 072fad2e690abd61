import { createHash, randomBytes } from 'node:crypto';
import { Refused } from './refusal.js';

/** The proof of work of section 1 of docs/protocol.md; a challenge counts once. */
export class Work {
  /** Puzzles and zero bits of each; nothing: sessions cost no work. */
  wanted = undefined;
  #open = new Set();

  /** @param {{ challenge: string, answers: number[] } | undefined} work */
  check(work) {
    if (!this.wanted) return;
    const isKnown = this.#open.delete(work?.challenge);
    if (isKnown && work.answers.length === this.wanted.count && this.#allSolve(work)) return;
    throw new Refused('work-required', { members: { work: this.#challenge() } });
  }

  #allSolve({ challenge, answers }) {
    return answers.every((number, index) => {
      const hash = createHash('sha256').update(`${challenge}.${index}.${number}`).digest();
      return Math.clz32(hash.readUInt32BE(0)) >= this.wanted.bits;
    });
  }

  #challenge() {
    const challenge = randomBytes(60).toString('base64url');
    this.#open.add(challenge);
    const expiresAt = Math.floor(Date.now() / 1000) + 120;
    return { algorithm: 'sha256-counters', challenge, ...this.wanted, expires_at: expiresAt };
  }
}
