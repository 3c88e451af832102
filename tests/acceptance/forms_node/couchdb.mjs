// Two devices with a PouchDB each, which replicate with a server. Prints what each step gave.
import { createHash } from "node:crypto";
import PouchDB from "pouchdb";

const [server, canary, folder] = process.argv.slice(2);
const scan = Buffer.concat([
  Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0xff]),
  Buffer.from(canary.repeat(5000)),
]);
const told = {};
const remote = new PouchDB(`${server}/clinic`);
const [ada, bob] = ["ada", "bob"].map((name) => new PouchDB(`${folder}/${name}`));

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
const base64 = (text) => Buffer.from(text).toString("base64");
const attached = async (database, name) => digest(await database.getAttachment("visit", name));

async function replicate(from, to) {
  const { ok, docs_written, doc_write_failures, errors } = await from.replicate.to(to);
  return { ok, docs_written, doc_write_failures, errors };
}

async function read(database) {
  const found = await database.get("visit", { attachments: true });
  const files = Object.entries(found._attachments).map(([name, one]) => [
    name, one.content_type, digest(Buffer.from(one.data, "base64")),
  ]);
  return { content: found.content, room: found.room, files };
}

told.sent = digest(scan);
await ada.put({
  _id: "visit",
  room: "r1",
  content: `${canary} text`,
  _attachments: {
    "scan.png": { content_type: "image/png", data: scan.toString("base64") },
    "empty.bin": { content_type: "application/octet-stream", data: "" },
  },
});
told.push = await replicate(ada, remote);
told.pull = await replicate(remote, bob);
told.replicated = await read(bob);
told.direct = await read(remote);
told.by_address = await attached(remote, "scan.png");
told.empty = await attached(remote, "empty.bin");

const edited = await bob.get("visit");
edited.content = `${canary} edited`;
edited._attachments["note.txt"] = { content_type: "text/plain", data: base64(`${canary} note`) };
await bob.put(edited);
told.push_again = await replicate(bob, remote);
told.pull_again = await replicate(remote, ada);
told.edited = await read(ada);

// A client without a database of its own: stubs stay what the server gave.
const stored = await remote.get("visit");
stored._attachments["more.json"] = {
  content_type: "application/json", data: base64(`{"note":"${canary}"}`),
};
told.put = (await remote.put(stored)).ok;
told.json_by_address = await attached(remote, "more.json");
await replicate(remote, ada);
told.after_put = await read(ada);

await ada.put({ _id: "other", room: "r1", content: `${canary} other` });
const two = await ada.bulkDocs([{ _id: "a" }, { _id: "b", content: `${canary} b` }]);
told.two = two.map((one) => one.ok);
told.push_three = await replicate(ada, remote);
await ada.remove(await ada.get("other"));
told.push_deleted = await replicate(ada, remote);
told.pull_deleted = await replicate(remote, bob);
told.left = (await bob.allDocs()).rows.map((one) => one.id);

process.stdout.write(JSON.stringify(told));
process.exit(0);
