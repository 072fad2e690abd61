/** Does the work that the gate asks for before it opens a session, without freezing the page. */

/** @typedef {import('./puzzles.js').Work} Work */

/**
 * In a worker; in slices where there is none, or where the page's policy forbids it. Few pages ever do that, so a bundler
 * may load it when it is needed.
 * @param {Work} work
 * @param {URL} script the worker's
 * @returns {Promise<number[]>}
 */
export function solve(work, script) {
  return inWorker(work, script).catch(async () => (await import('./slices.js')).inSlices(work));
}

/**
 * @param {Work} work
 * @param {URL} script
 * @returns {Promise<number[]>}
 */
function inWorker(work, script) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(script);
    const end = (/** @type {(value: any) => void} */ settle) => (/** @type {any} */ event) => {
      worker.terminate();
      settle(event.data);
    };
    worker.onmessage = end(resolve);
    worker.onerror = end(reject);
    worker.postMessage(work);
  });
}
