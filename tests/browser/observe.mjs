/** What browsers say of refusals that a step provokes, and of their own page for plain text. */
const NOISE = [
  /^Failed to load resource/,
  /^WebSocket connection to/,
  /^Firefox can.t establish a connection/,
  /blocked an inline style \(style-src-elem\)/,
];

/** Notes what the pages of a browser send, receive and complain about. */
export function observe(browser) {
  const seen = { sent: [], sessions: [], challenges: 0, errors: [] };
  browser.on('request', (request) => seen.sent.push(request));
  browser.on('response', (response) => {
    if (response.url().endsWith('/.well-known/portcullis/session')) seen.sessions.push(response);
    if (/;nonce="~/.test(response.headers()['accept-signature'])) seen.challenges += 1;
  });
  const complain = (text) => NOISE.some((noise) => noise.test(text)) || seen.errors.push(text);
  browser.on('weberror', (error) => complain(String(error.error())));
  browser.on('console', (message) => message.type() === 'error' && complain(message.text()));
  return seen;
}

/** Sessions that were opened. */
export function opened({ sessions }) {
  return sessions.filter((answer) => answer.status() === 201);
}

/** The name of a problem document. */
export function nameOf({ type }) {
  return type.split('/').at(-1);
}

/** The answer when a tab goes somewhere else. */
export async function navigation(tab, go) {
  const answer = tab.waitForResponse((response) => response.request().isNavigationRequest());
  await go();
  return answer;
}

/** A call of the page's client: its status and text. */
export function callInPage(page, target, init) {
  return page.evaluate(
    async ([url, options]) => {
      const answer = await globalThis.shop.client.fetch(url, options);
      return { status: answer.status, text: await answer.text() };
    },
    [target, init],
  );
}
