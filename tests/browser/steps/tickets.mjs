/** What cannot carry header fields: images, downloads, beacons, EventSource, WebSocket. */

import assert from 'node:assert/strict';
import { navigation } from '../observe.mjs';

export async function ticketSteps({ tap, page }) {
  await tap.step('an image is shown by its ticket, and not without', () => imageIsShown(page));
  await tap.step('a download is navigated to by its ticket, once', () => downloadWorks(page));
  await tap.step('a beacon arrives', () => beaconArrives(page));
  await tap.step('eventSource() reads, reconnects, and tells the application where it was', () => eventsCome(page));
  await tap.step("the browser's own EventSource works with a ticket", () => ownEventSourceWorks(page));
  await tap.step('webSocket() opens, speaks, and is refused with a reason', () => socketSpeaks(page));
}

async function imageIsShown(page) {
  const widths = await page.evaluate(async () => {
    const widthOf = (src) =>
      new Promise((resolve) => {
        const image = new Image();
        image.onload = () => resolve(image.naturalWidth);
        image.onerror = () => resolve('refused');
        image.src = src;
      });
    const ticket = await globalThis.shop.client.ticket('/api/image?size=3');
    return [await widthOf(ticket), await widthOf(`${ticket}&again`), await widthOf('/api/image?size=3')];
  });
  assert.deepEqual(widths, [3, 'refused', 'refused']);
}

async function downloadWorks(page) {
  const tab = await page.context().newPage();
  await tab.goto('/');
  const address = await page.evaluate(() => globalThis.shop.client.ticket('/api/report'));
  const follow = () => tab.evaluate((link) => location.assign(link), address);
  assert.equal((await navigation(tab, follow)).status(), 200);
  await tab.waitForFunction(() => document.body.textContent === 'the report');
  const typed = () => tab.goto(address).catch(() => {});
  assert.ok([401, 403].includes((await navigation(tab, typed)).status()));
  await tab.close();
}

async function beaconArrives(page) {
  const seen = await page.evaluate(async () => {
    const { client } = globalThis.shop;
    const wasTaken = await client.beacon('/api/seen', new Blob(['{"seen":"ä"}'], { type: 'application/json' }));
    for (let look = 0; look < 100; look += 1) {
      const list = await (await client.fetch('/api/seen')).json();
      if (list.length > 0) return { wasTaken, list };
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { wasTaken, list: [] };
  });
  assert.deepEqual(seen, { wasTaken: true, list: [{ seen: 'ä' }] });
}

async function eventsCome(page) {
  const events = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const source = globalThis.shop.client.eventSource('/api/events?topic=7');
        const events = [];
        source.addEventListener('tick', ({ data, lastEventId }) => {
          events.push([data, lastEventId]);
          if (events.length < 4) return;
          source.close();
          resolve(events);
        });
        source.onerror = ({ error }) => error && reject(error);
      }),
  );
  // The application ends each stream after two.
  assert.deepEqual(events, [
    ['after nothing', '1'],
    ['after nothing', '2'],
    ['after 2', '3'],
    ['after 2', '4'],
  ]);
}

async function ownEventSourceWorks(page) {
  const data = await page.evaluate(async () => {
    const source = new EventSource(await globalThis.shop.client.ticket('/api/events'));
    const event = await new Promise((resolve, reject) => {
      source.addEventListener('tick', resolve);
      source.onerror = reject;
    });
    source.close();
    return event.data;
  });
  assert.equal(data, 'after nothing');
}

async function socketSpeaks(page) {
  const outcome = await page.evaluate(async () => {
    const { client } = globalThis.shop;
    const socket = await client.webSocket('/api/socket?room=1', ['echo']);
    const answer = new Promise((resolve) => (socket.onmessage = ({ data }) => resolve(data)));
    socket.send('hällo');
    const said = await answer;
    const { protocol } = socket;
    socket.close();
    const bare = new WebSocket('/api/socket');
    const isRefused = await new Promise((resolve) => {
      bare.onopen = () => resolve(false);
      bare.onerror = () => resolve(true);
    });
    const missing = await client.webSocket('/api/nothing').catch((error) => error.code);
    return { said, protocol, isRefused, missing };
  });
  assert.deepEqual(outcome, { said: '/api/socket?room=1 hällo', protocol: 'echo', isRefused: true, missing: 'socket-failed' });
}
