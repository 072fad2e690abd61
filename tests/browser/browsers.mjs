/** Starts the browsers of the system, each with a profile of its own that is gone afterwards. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, firefox } from 'playwright-core';

const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const BROWSERS = {
  chromium: { type: chromium, executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: CHROMIUM_FLAGS },
  // Over WebDriver BiDi, which a Firefox speaks that is not patched.
  firefox: { type: firefox, executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', channel: 'moz-firefox' },
};

/**
 * @param {string} name `chromium` or `firefox`
 * @param {object} options of the context
 */
export async function launch(name, options) {
  if (!Object.hasOwn(BROWSERS, name)) throw new Error(`no browser ${name}: ${Object.keys(BROWSERS).join(' or ')}`);
  const { type, ...how } = BROWSERS[name];
  const profile = await mkdtemp(join(tmpdir(), `portcullis-${name}-`));
  const browser = await type.launchPersistentContext(profile, { ...how, ...options });
  const close = async () => {
    await browser.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { browser, close };
}
