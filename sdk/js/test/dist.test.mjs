import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';
import { bundles } from '../scripts/bundle.mjs';
import { sizes } from '../scripts/size.mjs';

const LIMIT = 5 * 1024;
const NAMES = ['PortcullisError', 'createClient', 'installBackbone', 'problemOf'];
const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

test('dist is what the sources build', async () => {
  for (const [path, text] of Object.entries(await bundles())) {
    assert.ok(read(path) === text, `${path} is stale: run npm run build`);
  }
});

test('the bundles stay below 5 kB gzip', async (t) => {
  for (const [name, { gzip }] of Object.entries(await sizes())) {
    t.diagnostic(`${name}: ${gzip} B gzip`);
    assert.ok(gzip <= LIMIT, `${name}: ${gzip} B`);
  }
});

test('the classic script sets globalThis.Portcullis and nothing else', () => {
  const context = vm.createContext({ TextEncoder });
  vm.runInContext(read('dist/portcullis.js'), context);
  assert.deepEqual(Object.keys(context), ['TextEncoder', 'Portcullis']);
  assert.deepEqual(Object.keys(context.Portcullis).sort(), NAMES);
});

test('the module exports the same names', async () => {
  assert.deepEqual(Object.keys(await import('../dist/portcullis.mjs')).sort(), NAMES);
});

test('the bundles need no eval and make no workers', () => {
  for (const path of ['dist/portcullis.js', 'dist/portcullis.mjs']) {
    assert.doesNotMatch(read(path), /\beval\b|new Function|Worker|createObjectURL/);
  }
});

test('the files of the package name what exists', () => {
  const { files, exports } = JSON.parse(read('package.json'));
  for (const entry of Object.values(exports)) read((entry.default ?? entry).slice(2));
  assert.ok(files.includes('dist'));
});
