import { readFileSync } from 'node:fs';

const PAGE = new URL('../../docs/sdk.md', import.meta.url);

/** The blocks of JavaScript in docs/sdk.md. */
export function examples() {
  return [...readFileSync(PAGE, 'utf8').matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block);
}

/** Whether a block belongs into a service worker. */
export function isForWorkers(block) {
  return block.startsWith('importScripts(');
}
