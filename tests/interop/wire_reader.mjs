// A reader of all that Sealyard writes, with node's own crypto alone, written from
// docs/reference/wire-format.md (and docs/reference/keyring-file.md for keyrings).
// Reads [{"do": what, …}] from stdin and writes an answer for each, as JSON: what came out, or
// {"refused": why}, or {"broken": why} for a mistake of this reader.
import { openKeyring, openPackage, openPrivateKey } from "./wire_keys.mjs";
import { Refused, context, scope, sha256 } from "./wire_notation.mjs";
import { readAudit, readReceipt, readRecord, recordName } from "./wire_records.mjs";
import { tagsOf } from "./wire_tags.mjs";
import { openEqual, openStream, openToken } from "./wire_values.mjs";

const DO = {
  context: ({ parts }) => ({ context: context(parts).toString("hex"), scope: scope(parts).toString("hex") }),
  token: (task) => { const { plaintext, cty } = openToken(task); return { plaintext: plaintext.toString("base64"), cty: cty ?? null }; },
  equal: (task) => { const { plaintext, cty } = openEqual(task); return { plaintext: plaintext.toString("base64"), cty: cty ?? null }; },
  stream: (task) => { const { plaintext, mediaType } = openStream(task); return { sha256: sha256(plaintext).toString("hex"), size: plaintext.length, mediaType }; },
  package: openPackage,
  privateKey: openPrivateKey,
  keyring: openKeyring,
  name: (task) => ({ name: recordName(task) }),
  record: readRecord,
  receipt: readReceipt,
  audit: readAudit,
  tags: tagsOf,
};

let text = "";
for await (const piece of process.stdin) text += piece;
const answers = JSON.parse(text).map((task) => {
  try {
    return DO[task.do](task);
  } catch (error) {
    if (error instanceof Refused) return { refused: error.message };
    return { broken: `${error.stack}` };
  }
});
process.stdout.write(JSON.stringify(answers));
