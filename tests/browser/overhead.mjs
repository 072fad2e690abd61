/** Runs in the page: milliseconds of a plain fetch and of a signed one, in turns, so that noise meets both alike. */
export async function measureOverhead(rounds) {
  const { client } = globalThis.shop;
  const plain = [];
  const signed = [];
  const timed = async (times, call) => {
    const start = performance.now();
    await (await call()).arrayBuffer();
    times.push(performance.now() - start);
  };
  for (let round = 0; round < rounds; round += 1) {
    await timed(plain, () => fetch('/ping', { cache: 'no-store' }));
    await timed(signed, () => client.fetch('/api/ping', { cache: 'no-store' }));
  }
  const rounded = (ms) => Math.round(ms * 100) / 100;
  const at = (times, share) => times.sort((a, b) => a - b)[Math.floor(times.length * share)];
  const summary = (times) => ({ median_ms: rounded(at(times, 0.5)), p90_ms: rounded(at(times, 0.9)) });
  const mean = (times) => times.reduce((sum, time) => sum + time, 0) / times.length;
  return {
    rounds,
    plain: summary(plain),
    signed: summary(signed),
    overhead_median_ms: rounded(at(signed, 0.5) - at(plain, 0.5)),
    // Where the clock of a page counts whole milliseconds, only this says something.
    overhead_mean_ms: rounded(mean(signed) - mean(plain)),
  };
}
