// A process that has a store open. Usage: store-child.mjs INDEX_MODULE PATH hold|write
// `write` commits triples of keys with one number and prints each number when it is acknowledged.
const [index, path, mode] = process.argv.slice(2);
const { openStore, transaction } = await import(index);
const encoder = new TextEncoder();

try {
  const store = await openStore(`sqlite:${path}`);
  console.log(`open ${process.pid}`);
  if (mode === 'write') await write(store);
  else setInterval(() => {}, 1000);
} catch (error) {
  console.log(`${error.code} ${error.message}`);
  process.exitCode = 1;
}

async function write(store) {
  const key = encoder.encode('number/a');
  const found = (await store.get(key, { timeoutMs: 1000 })).entry;
  let number = found === undefined ? 0 : Number(new TextDecoder().decode(found.value));
  for (;;) {
    number++;
    const value = encoder.encode(String(number));
    const puts = ['a', 'b', 'c'].map((name) => ({ key: encoder.encode(`number/${name}`), value }));
    puts.push({ key: encoder.encode(`log/${number}`), value });
    const outcome = await store.commit(transaction({ puts }), { timeoutMs: 1000 });
    if (outcome.status !== 'committed') throw new Error(outcome.status);
    // A pipe write of one short line is whole or absent.
    process.stdout.write(`${number}\n`);
    if (number % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
}
