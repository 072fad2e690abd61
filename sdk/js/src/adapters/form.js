/** `application/x-www-form-urlencoded`, nested values written as jQuery does: `a[]=1&a[]=2&b[c]=3`. */

/** @param {Record<string, unknown>} data */
export function formEncode(data) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(data)) append(pairs, name, value);
  return pairs.toString();
}

/**
 * @param {string} url
 * @param {Record<string, unknown> | string | null} [data]
 */
export function withQuery(url, data) {
  const query = data && typeof data === 'object' ? formEncode(data) : data;
  if (!query) return url;
  return url + (url.includes('?') ? '&' : '?') + query;
}

/**
 * @param {URLSearchParams} pairs
 * @param {string} name
 * @param {any} value
 */
function append(pairs, name, value) {
  if (Array.isArray(value)) {
    value.forEach((item, index) => append(pairs, `${name}[${isNested(item) ? index : ''}]`, item));
  } else if (isNested(value)) {
    for (const [key, item] of Object.entries(value)) append(pairs, `${name}[${key}]`, item);
  } else {
    pairs.append(name, value ?? '');
  }
}

/** @param {unknown} value */
function isNested(value) {
  return typeof value === 'object' && value !== null;
}
