// What the clients share: named checks, and their results as JSON, the same for each run of the same software.
const found = {};

// check NAME: run it and keep what it returns, or how it failed.
export async function check(name, run) {
  try {
    found[name] = { told: (await run()) ?? null };
  } catch (error) {
    found[name] = { failed: `${error.status ?? error.code ?? ''} ${error.message ?? error}`.trim() };
  }
}

// Wait until a list has so many elements, and return them.
export async function until(list, count) {
  const end = Date.now() + 20_000;
  while (list.length < count) {
    if (Date.now() > end) throw new Error(`${list.length} of ${count} arrived`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return list.slice(0, count);
}

export function finish() {
  process.stdout.write(JSON.stringify(found));
  process.exit(0);
}
