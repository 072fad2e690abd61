import { PortcullisError, createClient, installBackbone, problemOf } from '@portcullis/client';

const client = createClient({
  origin: 'https://shop.example',
  onReauthenticate: async (problem) => problem.status === 401,
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

const undo = installBackbone({ ajax() {} }, client);
undo();

globalThis.Portcullis.createClient().close();
// @ts-expect-error there is no such option
createClient({ orign: 'https://shop.example' });
// @ts-expect-error a client never gives its key away
(await client.session()).key;

export { drop, until };
