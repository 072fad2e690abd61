/**
 * `jQuery.ajax` over a client: jQuery keeps its callbacks, promises, converters and timeouts, the client sends.
 *
 * @typedef {import('../../index.d.ts').Client} Client
 */

/**
 * @param {{ ajaxTransport: Function }} jQuery
 * @param {Pick<Client, 'fetch'>} client
 * @returns {() => void} gives later calls back to jQuery
 */
export function installJQuery(jQuery, client) {
  let isInstalled = true;
  jQuery.ajaxTransport('+*', (/** @type {any} */ settings) => {
    // Scripts and JSONP have transports of their own; a synchronous call cannot wait for a signature.
    const isOurs = isInstalled && settings.async !== false && settings.dataTypes[0] !== 'script';
    return isOurs ? transport(client, settings) : undefined;
  });
  return () => {
    isInstalled = false;
  };
}

/**
 * @param {Pick<Client, 'fetch'>} client
 * @param {any} settings
 */
function transport(client, settings) {
  const controller = new AbortController();
  return {
    abort: () => controller.abort(),
    send: (/** @type {Record<string, string>} */ headers, /** @type {Function} */ complete) => {
      // jQuery speaks of timeouts and aborts itself, and wants no answer then.
      const unlessAborted = (/** @type {any[]} */ ...answer) => controller.signal.aborted || complete(...answer);
      perform(client, settings, headers, controller.signal).then(
        (answer) => unlessAborted(...answer),
        (error) => unlessAborted(0, String(error)),
      );
    },
  };
}

/**
 * @param {Pick<Client, 'fetch'>} client
 * @param {any} settings
 * @param {Record<string, string>} headers
 * @param {AbortSignal} signal
 */
async function perform(client, settings, headers, signal) {
  const { type: method, xhrFields = {} } = settings;
  const body = settings.hasContent ? settings.data : undefined;
  const credentials = xhrFields.withCredentials ? 'include' : 'same-origin';
  const response = await client.fetch(settings.url, { method, headers, body, credentials, signal });
  const isBinary = ['arraybuffer', 'blob'].includes(xhrFields.responseType);
  const content = isBinary
    ? { binary: await (xhrFields.responseType === 'blob' ? response.blob() : response.arrayBuffer()) }
    : { text: await response.text() };
  const fields = [...response.headers].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return [response.status, response.statusText, content, fields];
}
