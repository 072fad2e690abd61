const TYPE_PREFIX = '/.well-known/portcullis/problems/';

/**
 * Why the gate refused something, or why the client could not ask. `code` is the stable name to compare with:
 * the last part of the problem's `type`, or one of the client's own (`insecure-context`, `session-unavailable`,
 * `closed`).
 */
export class PortcullisError extends Error {
  name = 'PortcullisError';
  /** @type {string} */
  code;
  /** @type {number | undefined} */
  status;
  /** @type {string | undefined} */
  detail;
  /** @type {string | undefined} */
  ref;
  /** @type {number | undefined} */
  serverTime;
  /** @type {number | undefined} */
  retryAfter;
  /** @type {string | undefined} */
  reauthenticate;

  /**
   * @param {string} code
   * @param {string} message
   * @param {Partial<Omit<PortcullisError, 'code' | keyof Error>>} [facts]
   */
  constructor(code, message, facts) {
    super(message);
    this.code = code;
    Object.assign(this, facts);
  }
}

/**
 * The problem document of a refusal by the gate; nothing for any other response. Leaves the response readable, so call
 * it before you read the body.
 * @param {Response} response
 * @returns {Promise<PortcullisError | undefined>}
 */
export async function problemOf(response) {
  const mediaType = response.headers.get('content-type') ?? '';
  if (!mediaType.startsWith('application/problem+json')) return undefined;
  const document = await response
    .clone()
    .json()
    .catch(() => null);
  const type = document?.type;
  if (typeof type !== 'string' || !type.startsWith(TYPE_PREFIX)) return undefined;
  return new PortcullisError(type.slice(TYPE_PREFIX.length), document.title, {
    status: response.status,
    detail: document.detail,
    ref: document.ref,
    serverTime: document.server_time,
    retryAfter: secondsOf(response.headers.get('retry-after')),
    reauthenticate: document.reauthenticate,
  });
}

/** @param {string | null} field */
function secondsOf(field) {
  return field && /^\d+$/.test(field) ? Number(field) : undefined;
}
