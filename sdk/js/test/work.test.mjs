import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';
import { hasherAfter } from '../src/work/sha256.js';
import { solving } from '../src/work/puzzles.js';
import { gateAndClient } from './support.mjs';

test('the hash is SHA-256, wherever a block ends', () => {
  for (let length = 0; length < 200; length += 1) {
    const prefix = 'p'.repeat(length);
    const hash = hasherAfter(prefix);
    for (const rest of ['0', '12345', `${2 ** 53 - 1}`]) {
      const words = Uint32Array.from(hash(rest));
      const expected = createHash('sha256').update(`${prefix}${rest}`).digest();
      assert.deepEqual(
        [...words],
        Array.from({ length: 8 }, (_, index) => expected.readUInt32BE(4 * index)),
      );
    }
  }
});

test('the answers begin with zero bits', () => {
  const search = solving({ challenge: 'c'.repeat(80), count: 4, bits: 9 });
  let step = search.next();
  while (!step.done) step = search.next();
  step.value.forEach((number, index) => {
    const hash = createHash('sha256').update(`${'c'.repeat(80)}.${index}.${number}`).digest();
    assert.equal(hash.readUInt32BE(0) >>> 23, 0);
  });
});

test('a session that costs work is opened all the same', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.sessions.work.wanted = { count: 8, bits: 8 };
  assert.equal((await client.fetch('/api/orders', { method: 'POST', body: 'x' })).status, 200);
  assert.deepEqual(gate.refused, ['work-required']);
});

test('the work is done three times at most', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.sessions.work.wanted = { count: 1, bits: 0 };
  gate.sessions.work.check = () => {
    gate.sessions.work.constructor.prototype.check.call(gate.sessions.work, undefined);
  };
  await assert.rejects(client.fetch('/api/orders'), { name: 'PortcullisError', code: 'work-required' });
  assert.equal(gate.refused.length, 4);
});

test('work of another kind is not done', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.sessions.work.wanted = { algorithm: 'sha512-counters', count: 1, bits: 1 };
  gate.sessions.work.check = gate.sessions.work.check.bind(gate.sessions.work);
  await assert.rejects(client.fetch('/api/orders'), { code: 'work-required' });
  assert.equal(gate.refused.length, 1);
});

test('where there is no worker, the work leaves room for others', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.sessions.work.wanted = { count: 8, bits: 12 };
  let turns = 0;
  const others = setInterval(() => (turns += 1), 1);
  await client.fetch('/api/orders');
  clearInterval(others);
  assert.ok(turns > 2, `${turns} turns`);
});

test('the script of the worker solves in a worker', async (t) => {
  const asked = [];
  globalThis.Worker = scriptWorker(asked);
  t.after(() => delete globalThis.Worker);
  const { gate, client } = await gateAndClient(t);
  gate.sessions.work.wanted = { count: 8, bits: 8 };
  assert.equal((await client.fetch('/api/orders')).status, 200);
  assert.deepEqual(asked, [`${gate.origin}/.well-known/portcullis/work.js`]);
});

test('a worker that the page forbids is done without', async (t) => {
  globalThis.Worker = class {
    constructor() {
      queueMicrotask(() => this.onerror(new Event('error')));
    }
    postMessage() {}
    terminate() {}
  };
  t.after(() => delete globalThis.Worker);
  const { gate, client } = await gateAndClient(t);
  gate.sessions.work.wanted = { count: 2, bits: 8 };
  assert.equal((await client.fetch('/api/orders')).status, 200);
});

/** A worker as the browser makes one of dist/portcullis.work.js, but for the thread. */
function scriptWorker(asked) {
  const script = readFileSync(new URL('../dist/portcullis.work.js', import.meta.url), 'utf8');
  return class {
    constructor(url) {
      asked.push(url.href);
      const scope = { postMessage: (data) => queueMicrotask(() => this.onmessage({ data })) };
      scope.self = scope;
      this.context = vm.createContext(scope);
      vm.runInContext(script, this.context);
    }
    postMessage(data) {
      this.context.onmessage({ data });
    }
    terminate() {}
  };
}
