// Records of the store, receipts and audit lines. See wire_reader.mjs.
import { createPrivateKey, createPublicKey } from "node:crypto";
import { verifyJws } from "./wire_keys.mjs";
import { bytes, expand, from64, hmac, join, openGcm, refuse, same, scope, sha256, to64, u16 } from "./wire_notation.mjs";

// ---- Records of the store

const RECORD_NAMES = {
  sessions: (task) => scope(task.parts),
  packages: (task) => join("sealyard/v1/packages", Buffer.of(0), scope(task.parts)),
  participant: (task) => join("sealyard/v1/participant", Buffer.of(0), task.id),
  pins: (task) => join("sealyard/v1/pins", Buffer.of(0), recordName({ ...task, of: "participant" })),
};

export function recordName(task) {
  const identity = task.identity_key && Buffer.from(task.identity_key, "hex");
  const names = identity ? expand(identity, bytes("sealyard/v1/participant-names"), 32) : Buffer.from(task.name_key, "hex");
  return to64(hmac(names, RECORD_NAMES[task.of](task)).subarray(0, 16));
}

const time = (data, at) => Number(data.readBigUInt64BE(at));

function readSession(values) {
  const [epoch, created, softEnd, hardEnd] = [1, 9, 17, 25].map((at) => time(values, at));
  const read = { epoch, created, soft_end: softEnd, hard_end: hardEnd, kek_number: values.readUInt16BE(33), sid: to64(values.subarray(35, 47)) };
  return values[0] === 2 ? { ...read, wrapped: values.subarray(47) } : read;
}

export function readRecord({ record, label, name, record_key: recordKey, keyring }) {
  const data = Buffer.from(record, "hex");
  const values = data.subarray(0, data.length - 32);
  const identity = (own) => join(label, Buffer.of(0), u16(name.length), name, own);
  if (!same(hmac(Buffer.from(recordKey, "hex"), identity(values)), data.subarray(data.length - 32))) refuse("record");
  const kind = label.slice(label.lastIndexOf("/") + 1);
  if (kind === "session") {
    const { wrapped, ...read } = readSession(values);
    if (!wrapped) return read;
    const kek = keyring.keks.find((one) => one.number === read.kek_number) ?? refuse("KEK");
    const key = expand(Buffer.from(kek.key, "hex"), join("sealyard/v1/wrap", from64(read.sid)), 32);
    const opened = openGcm(key, wrapped.subarray(0, 12), wrapped.subarray(12), identity(values.subarray(0, 47)));
    return { ...read, session_key: opened.toString("hex") };
  }
  if (values[0] !== 1) refuse("version");
  if (kind === "revocation") return { not_before: time(values, 1) };
  if (kind === "turn") return { epoch: time(values, 1), random: values.subarray(9).toString("hex") };
  if (kind === "kek-use") {
    const uses = {};
    for (let at = 17; at < values.length; at += 34) {
      uses[values.readUInt16BE(at)] = [2, 10, 18, 26].map((step) => time(values, at + step));
    }
    return { epoch: time(values, 1), since: time(values, 9), uses };
  }
  const seal = expand(Buffer.from(recordKey, "hex"), bytes("sealyard/v1/record-seal"), 32);
  const opened = openGcm(seal, values.subarray(9, 21), values.subarray(21), identity(values.subarray(0, 9)));
  return { epoch: time(values, 1), json: JSON.parse(opened.toString("utf8")) };
}

// ---- Receipts, audit lines

export function readReceipt({ receipt, record_key: recordKey, parts }) {
  const seed = expand(Buffer.from(recordKey, "hex"), bytes("sealyard/v1/receipt"), 32);
  const der = join(Buffer.from("302e020100300506032b657004220420", "hex"), seed);
  const { kty, crv, x } = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" })).export({ format: "jwk" });
  const claims = verifyJws(receipt.trim(), { kty, crv, x }, "sealyard-erased+jwt");
  if (parts && claims.subject.sha256 !== to64(sha256(join(from64(claims.subject.salt), scope(parts))))) refuse("another scope");
  return { claims };
}

export function readAudit({ lines, record_key: recordKey }) {
  const key = expand(Buffer.from(recordKey, "hex"), bytes("sealyard/v1/audit"), 32);
  let before = "";
  return {
    events: lines.map((line) => {
      const match = /^(.*),"mac":"([A-Za-z0-9_-]{43})"\}$/s.exec(line) ?? refuse("line");
      const mac = to64(hmac(key, join("sealyard/v1/audit/line", Buffer.of(0), match[1])));
      const said = JSON.parse(line);
      if (mac !== match[2] || said.prev !== before) refuse("chain");
      before = mac;
      return said.event;
    }),
  };
}
