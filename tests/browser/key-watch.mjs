/**
 * Runs in the page before its scripts: notes every key that WebCrypto makes, and every way by which key bytes could
 * come into script.
 */
export function watchKeys() {
  const watch = { keys: [], exported: [], importedSecrets: [], derivedBits: 0 };
  const isSecret = (key) => key.type !== 'public';
  const { subtle } = crypto;
  if (!subtle) return;

  const around = (name, see) => {
    const original = subtle[name].bind(subtle);
    subtle[name] = async (...args) => {
      const result = await original(...args);
      see(result, args);
      return result;
    };
  };

  around('generateKey', (made) => watch.keys.push(...(made.privateKey ? [made.privateKey, made.publicKey] : [made])));
  around('deriveKey', (made) => watch.keys.push(made));
  around('importKey', (made, [format]) => {
    watch.keys.push(made);
    if (isSecret(made)) watch.importedSecrets.push(format);
  });
  around('exportKey', (_, [format, key]) => {
    if (isSecret(key)) watch.exported.push(format);
  });
  around('wrapKey', (_, [format]) => watch.exported.push(format));
  around('deriveBits', () => {
    watch.derivedBits += 1;
  });
  globalThis.keyWatch = watch;
}

/** What the watch saw; runs in the page. */
export async function reportKeys() {
  const { keys, exported, importedSecrets, derivedBits } = globalThis.keyWatch;
  const secret = keys.filter((key) => key.type !== 'public');
  const attempts = secret.map((key) =>
    crypto.subtle.exportKey('jwk', key).then(
      () => 'exported',
      (error) => error.name,
    ),
  );
  return {
    secret: secret.map(({ algorithm, extractable, usages }) => ({ name: algorithm.name, extractable, usages })),
    exportAttempts: await Promise.all(attempts),
    exported,
    importedSecrets,
    derivedBits,
  };
}
