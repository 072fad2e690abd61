import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const { name, version, license } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));

/** The two files in dist/: path below sdk/js → text. */
export async function bundles() {
  return {
    'dist/portcullis.mjs': await bundle('src/index.js', 'esm'),
    'dist/portcullis.js': await bundle('src/global.js', 'iife'),
  };
}

/** The client without the Backbone adapter, as a bundler of an application would take it. */
export function coreBundle() {
  return bundle('src/client.js', 'esm');
}

async function bundle(entry, format) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format,
    target: 'es2022',
    charset: 'utf8',
    banner: { js: `/*! ${name} ${version} | ${license} */` },
    write: false,
    logLevel: 'silent',
  });
  return outputFiles[0].text;
}
