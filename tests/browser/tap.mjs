/** Runs steps one after the other and prints TAP. */
export class Tap {
  #count = 0;
  failed = 0;

  /**
   * @param {string} name
   * @param {() => unknown} step throws if it fails
   */
  async step(name, step) {
    this.#count += 1;
    try {
      await step();
      console.log(`ok ${this.#count} - ${name}`);
    } catch (error) {
      this.failed += 1;
      console.log(`not ok ${this.#count} - ${name}`);
      this.say(error.stack ?? String(error));
    }
  }

  skip(name, reason) {
    this.#count += 1;
    console.log(`ok ${this.#count} - ${name} # SKIP ${reason}`);
  }

  say(text) {
    for (const line of text.split('\n')) console.log(`# ${line}`);
  }

  end() {
    console.log(`1..${this.#count}`);
  }
}
