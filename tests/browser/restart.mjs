import { createInterface } from 'node:readline/promises';

/**
 * How to have the gate restarted from outside; nothing if nobody offered to.
 * @returns {(() => Promise<void>) | undefined}
 */
export function restarter({ PORTCULLIS_RESTART_URL: url, PORTCULLIS_RESTART: way }) {
  if (url) return () => restartByHook(url);
  if (way === 'stdin') return restartByStdin;
  return undefined;
}

async function restartByHook(url) {
  const answer = await fetch(url, { method: 'POST' });
  if (!answer.ok) throw new Error(`the restart hook answered ${answer.status}`);
}

async function restartByStdin() {
  console.log('# restart-please');
  const lines = createInterface({ input: process.stdin });
  await new Promise((resolve, reject) => {
    lines.once('line', resolve);
    lines.once('close', () => reject(new Error('stdin ended before the restart was confirmed')));
  });
  lines.close();
}
