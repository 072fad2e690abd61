const STATUS = {
  'signature-malformed': 400,
  'signature-ambiguous': 400,
  'digest-required': 400,
  'digest-mismatch': 400,
  'session-request-malformed': 400,
  'navigation-refused': 403,
  'work-required': 403,
  'ticket-refused': 403,
  'sequence-violation': 403,
  'not-found': 404,
  'quota-exceeded': 429,
  'upstream-unavailable': 502,
  overloaded: 503,
};

/** A call that does not pass; every other name is a 401. */
export class Refused extends Error {
  constructor(code, extra = {}) {
    super(code);
    this.code = code;
    this.status = STATUS[code] ?? 401;
    this.extra = extra;
  }
}
