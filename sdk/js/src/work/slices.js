/** The work where there is no worker. */

import { solving } from './puzzles.js';

/** Milliseconds of work between two pauses: half a frame. */
const SLICE = 8;

/** @param {import('./puzzles.js').Work} work */
export async function inSlices(work) {
  const search = solving(work);
  for (;;) {
    const end = performance.now() + SLICE;
    while (performance.now() < end) {
      const step = search.next();
      if (step.done) return step.value;
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
}
