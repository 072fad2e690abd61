/** Runs the browser test against the SDK tests' gate instead of the daemon: for work on the page or the SDK alone. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startGate } from '../../sdk/js/test/gate/gate.js';

const BROWSERS = process.env.BROWSER ? [process.env.BROWSER] : ['chromium', 'firefox'];
const script = (name) => fileURLToPath(new URL(name, import.meta.url));

for (const browser of BROWSERS) {
  const code = await runIn(browser);
  if (code !== 0) process.exit(code);
}

async function runIn(browser) {
  const backend = spawn(process.execPath, [script('backend.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [firstLine] = await once(createInterface({ input: backend.stdout }), 'line');
  const gate = await startGate({ upstream: JSON.parse(firstLine).url, isProtected: (path) => path.startsWith('/api/') });
  gate.sessions.work.wanted = { count: 8, bits: 12 };
  const hook = createServer((_, response) => {
    gate.restart();
    response.end();
  });
  await new Promise((resolve) => hook.listen(0, '127.0.0.1', resolve));
  const env = {
    ...process.env,
    BROWSER: browser,
    PORTCULLIS_URL: gate.origin,
    PORTCULLIS_RESTART_URL: `http://127.0.0.1:${hook.address().port}/`,
    PORTCULLIS_WORK: '1',
  };
  const test = spawn(process.execPath, [script('run.mjs')], { stdio: 'inherit', env });
  const [code] = await once(test, 'exit');
  backend.kill();
  hook.close();
  await gate.stop();
  return code ?? 1;
}
