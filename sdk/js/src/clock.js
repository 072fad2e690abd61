/** The gate's time, as far as we know it: our own clock plus an offset. */
export class Clock {
  /** Seconds that the gate is ahead of us. */
  offset = 0;

  /** Seconds since the Unix epoch. */
  now() {
    return Date.now() / 1000 + this.offset;
  }

  /** @param {number} serverTime seconds since the Unix epoch, just received */
  correct(serverTime) {
    this.offset = serverTime - Date.now() / 1000;
  }
}
