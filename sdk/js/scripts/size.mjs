import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { bundles, coreBundle } from './bundle.mjs';

/** name → { bytes, gzip } */
export async function sizes() {
  const texts = { 'core': await coreBundle(), ...(await bundles()) };
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, sizeOf(text)]));
}

export async function report() {
  for (const [name, { bytes, gzip }] of Object.entries(await sizes())) {
    console.log(`${name.padEnd(22)} ${String(bytes).padStart(6)} B  ${String(gzip).padStart(6)} B gzip`);
  }
}

function sizeOf(text) {
  return { bytes: Buffer.byteLength(text), gzip: gzipSync(text, { level: 9 }).length };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await report();
