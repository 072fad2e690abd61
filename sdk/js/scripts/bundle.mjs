import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const { name, version, license } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));

/** The files in dist/: path below sdk/js → text. */
export async function bundles() {
  return {
    'dist/portcullis.mjs': await bundle('src/index.js', 'esm'),
    'dist/portcullis.js': await bundle('src/global.js', 'iife'),
    'dist/portcullis.work.js': await bundle('src/work/worker.js', 'iife'),
  };
}

/** The client without tickets and adapters as a bundler of an application takes it: what is loaded with the page. */
export function coreBundle() {
  return bundle('src/core.js', 'esm', { splitting: true, banner: {} });
}

async function bundle(entry, format, options = {}) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format,
    target: 'es2022',
    charset: 'utf8',
    banner: { js: `/*! ${name} ${version} | ${license} */` },
    outdir: 'dist',
    write: false,
    logLevel: 'silent',
    ...options,
  });
  return outputFiles[0].text;
}
