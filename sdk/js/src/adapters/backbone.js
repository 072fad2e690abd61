/**
 * `Backbone.ajax` over a client. Backbone and its users expect the manners of `jQuery.ajax`: callbacks with
 * (data, statusText, xhr), an xhr that is also a promise, headers set in `beforeSend`.
 *
 * @typedef {import('../../index.d.ts').AjaxSettings} AjaxSettings
 * @typedef {import('../../index.d.ts').Client} Client
 */

import { AjaxXhr } from './ajax-xhr.js';
import { formEncode, withQuery } from './form.js';

const FORM = 'application/x-www-form-urlencoded; charset=UTF-8';

/**
 * @param {{ ajax: Function }} Backbone
 * @param {Pick<Client, 'fetch'>} client
 * @returns {() => void} puts the former `Backbone.ajax` back
 */
export function installBackbone(Backbone, client) {
  const former = Backbone.ajax;
  Backbone.ajax = (/** @type {AjaxSettings} */ settings) => ajax(client, settings);
  return () => {
    Backbone.ajax = former;
  };
}

/**
 * @param {Pick<Client, 'fetch'>} client
 * @param {AjaxSettings} settings
 */
function ajax(client, settings) {
  const xhr = new AjaxXhr(settings.headers);
  const context = settings.context ?? settings;
  const cancelled = settings.beforeSend?.call(context, xhr, settings) === false;
  const outcome = cancelled ? Promise.reject(xhr.fail('canceled')) : perform(client, settings, xhr);
  xhr.settleWith(outcome);
  // Not part of what the caller gets, so that an exception in a callback surfaces as an unhandled rejection.
  outcome
    .then(
      (data) => settings.success?.call(context, data, xhr.statusText, xhr),
      () => settings.error?.call(context, xhr, xhr.outcome, xhr.error),
    )
    .finally(() => settings.complete?.call(context, xhr, xhr.outcome));
  return xhr;
}

/**
 * @param {Pick<Client, 'fetch'>} client
 * @param {AjaxSettings} settings
 * @param {AjaxXhr} xhr
 */
async function perform(client, settings, xhr) {
  const timer = settings.timeout && setTimeout(() => xhr.abort('timeout'), settings.timeout);
  try {
    const { url, init } = requestOf(settings, xhr);
    const response = await client.fetch(url, init);
    await xhr.receive(response);
  } catch (error) {
    throw xhr.fail('error', error);
  } finally {
    clearTimeout(timer);
  }
  if (!xhr.ok) throw xhr.fail('error');
  return dataOf(settings, xhr);
}

/**
 * @param {AjaxSettings} settings
 * @param {AjaxXhr} xhr
 * @returns {{ url: string, init: RequestInit }}
 */
function requestOf(settings, xhr) {
  const method = (settings.type ?? settings.method ?? 'GET').toUpperCase();
  const { headers, signal } = xhr;
  if (settings.dataType === 'json' && !headers.has('accept')) headers.set('accept', 'application/json, */*;q=0.01');
  if (method === 'GET' || method === 'HEAD') {
    return { url: withQuery(settings.url, settings.data), init: { method, headers, signal } };
  }
  const body = bodyOf(settings);
  const contentType = contentTypeOf(settings, body);
  if (contentType && !headers.has('content-type')) headers.set('content-type', contentType);
  return { url: settings.url, init: { method, headers, signal, body } };
}

/** @param {AjaxSettings} settings */
function bodyOf({ data, processData }) {
  if (data === undefined || data === null || data === '') return undefined;
  const isPlain = typeof data === 'object' && Object.getPrototypeOf(data) === Object.prototype;
  return isPlain && processData !== false ? formEncode(data) : data;
}

/**
 * @param {AjaxSettings} settings
 * @param {unknown} body
 */
function contentTypeOf({ contentType }, body) {
  if (body === undefined || contentType === false) return undefined;
  if (typeof contentType === 'string') return contentType;
  return typeof body === 'string' ? FORM : undefined;
}

/**
 * @param {AjaxSettings} settings
 * @param {AjaxXhr} xhr
 */
function dataOf({ dataType, type }, xhr) {
  if (xhr.status === 204 || type === 'HEAD') return undefined;
  if (dataType !== 'json') return xhr.responseText;
  try {
    return JSON.parse(xhr.responseText);
  } catch (error) {
    throw xhr.fail('parsererror', error);
  }
}
