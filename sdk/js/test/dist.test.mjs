import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';
import { bundles } from '../scripts/bundle.mjs';
import { sizes } from '../scripts/size.mjs';

/** Bytes, gzipped. */
const LIMITS = {
  core: 5000,
  'dist/portcullis.mjs': 9500,
  'dist/portcullis.js': 9500,
  'dist/portcullis.work.js': 1000,
};
const NAMES = ['PortcullisError', 'createClient', 'installBackbone', 'installJQuery', 'problemOf'];
const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

test('dist is what the sources build', async () => {
  for (const [path, text] of Object.entries(await bundles())) {
    assert.ok(read(path) === text, `${path} is stale: run npm run build`);
  }
});

test('the bundles stay below their limits, the core below 5 kB gzip', async (t) => {
  const actual = await sizes();
  assert.deepEqual(Object.keys(actual), Object.keys(LIMITS));
  for (const [name, { gzip }] of Object.entries(actual)) {
    t.diagnostic(`${name}: ${gzip} B gzip`);
    assert.ok(gzip <= LIMITS[name], `${name}: ${gzip} B`);
  }
});

test('the classic script sets globalThis.Portcullis and nothing else', () => {
  const context = vm.createContext({ TextEncoder, EventTarget });
  vm.runInContext(read('dist/portcullis.js'), context);
  assert.deepEqual(Object.keys(context), ['TextEncoder', 'EventTarget', 'Portcullis']);
  assert.deepEqual(Object.keys(context.Portcullis).sort(), NAMES);
});

test('the module exports the same names', async () => {
  assert.deepEqual(Object.keys(await import('../dist/portcullis.mjs')).sort(), NAMES);
});

test('the bundles need no eval, no blob and no other address', () => {
  for (const path of Object.keys(LIMITS).filter((name) => name !== 'core')) {
    assert.doesNotMatch(read(path), /\beval\b|\bFunction\b|createObjectURL|importScripts|\bimport\(|https?:\/\/\w/);
  }
});

test('the files of the package name what exists', () => {
  const { files, exports } = JSON.parse(read('package.json'));
  for (const entry of Object.values(exports)) read((entry.default ?? entry).slice(2));
  assert.ok(files.includes('dist'));
});
