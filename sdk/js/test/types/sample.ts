import {
  type EventStream,
  PortcullisError,
  createClient,
  installBackbone,
  installJQuery,
  problemOf,
} from '@portcullis/client';
import { type CoreClient, createClient as createCoreClient } from '@portcullis/client/core';

const client = createClient({
  origin: 'https://shop.example',
  onReauthenticate: async (problem) => problem.status === 401 && problem.reauthenticate === 'login',
  storage: 'memory',
  retries: 0,
  algorithm: 'ed25519',
});
const drop: typeof fetch = client.fetch;
const until: Date = (await client.session()).expiresAt;

const response = await client.fetch('/api/orders', { method: 'POST', body: new FormData() });
const problem = await problemOf(response);
if (problem?.code === 'quota-exceeded') setTimeout(() => {}, (problem.retryAfter ?? 1) * 1000);

try {
  await client.fetch(new URL('https://shop.example/api/orders'));
} catch (error) {
  if (error instanceof PortcullisError) console.log(error.code, error.ref);
}

const address: string = await client.ticket('/api/report.pdf', { method: 'POST', body: 'x' });
const socket: WebSocket = await client.webSocket('/api/chat', ['v1']);
const events: EventStream = client.eventSource('/api/events', { withCredentials: true });
events.onmessage = ({ data }) => console.log(data);
events.onerror = ({ error }) => console.log(error);
const wasTaken: boolean = await client.beacon('/api/seen', new Blob(['{}']));

const undo = installBackbone({ ajax() {} }, client);
undo();
installJQuery({ ajaxTransport() {} }, client)();

const core: CoreClient = createCoreClient();
await core.close();
globalThis.Portcullis.createClient().close();
// @ts-expect-error there is no such option
createClient({ orign: 'https://shop.example' });
// @ts-expect-error a client never gives its key away
(await client.session()).key;
// @ts-expect-error the core has no tickets
core.ticket('/');

export { address, drop, socket, until, wasTaken };
