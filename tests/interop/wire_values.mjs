// Tokens and sealed streams. See wire_reader.mjs.
import { createDecipheriv } from "node:crypto";
import {
  SKEW, bytes, context, expand, from64, hmac, join, openGcm, refuse, same, scope, to64, u32,
} from "./wire_notation.mjs";

// ---- Tokens

const HEADER = new RegExp(
  '^\\{"typ":"sy1","alg":"dir","enc":"A256GCM","kid":"(?:([A-Za-z0-9_-]{1,32})\\.)?([A-Za-z0-9_-]{16})"'
  + '(?:,"cty":"([\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]{1,127})")?(?:,"exp":(0|[1-9][0-9]{0,11}))?'
  + ',"ctx":"([A-Za-z0-9_-]{22}|[A-Za-z0-9_-]{43})"\\}$',
);

function decodeToken(text) {
  if (text.startsWith("sy1.")) {
    const data = from64(text.slice(4));
    if (data[0] & 8) refuse("equal form");
    if (data.length < 43 + 16) refuse("short");
    const flags = data[0];
    const number = data.readUInt16BE(1);
    if (flags & ~3 || (flags & 1 && number)) refuse("flags");
    const head = data.subarray(0, 43);
    return {
      form: "short", sid: data.subarray(3, 15), iv: data.subarray(15, 27), sealed: data.subarray(43), head, com: data.subarray(27, 43),
      number: flags & 1 ? undefined : number, cty: flags & 2 ? "json" : undefined,
    };
  }
  if (text.startsWith("iVNZMUI2NA0K")) {
    const data = Buffer.from(text, "base64");
    if (data.toString("base64") !== text || data.length < 11) refuse("base64");
    const end = 11 + data.readUInt16BE(9);
    if (data.length < end + 28) refuse("base64");
    const head = readHeader(data.subarray(11, end).toString("latin1"));
    if (head.cty !== undefined) refuse("header");
    return { ...head, form: "base64", aad: data.subarray(0, end), iv: data.subarray(end, end + 12), sealed: data.subarray(end + 12) };
  }
  const [p, second, iv, ct, tag, ...more] = text.split(".");
  if (second !== "" || tag === undefined || more.length || iv.length !== 16 || tag.length !== 22) refuse("parts");
  return { ...readHeader(p), form: "jwe", aad: bytes(p), iv: from64(iv), sealed: join(from64(ct), from64(tag)) };
}

function readHeader(p) {
  const match = HEADER.exec(from64(p).toString("latin1"));
  if (!match) refuse("header");
  const [, kek, sid, cty, exp, ctx] = match;
  return { sid: from64(sid), kek, cty, exp: exp === undefined ? undefined : Number(exp), ctx: from64(ctx) };
}

function durableKey(keyring, token, parts) {
  const named = (one) => (token.form !== "short" ? one.id === token.kek : one.number === token.number);
  const kek = keyring.keks.find((one) => named(one) && one.state !== "disabled") ?? refuse("no KEK");
  return expand(Buffer.from(kek.key, "hex"), join("sealyard/v1/sk", Buffer.of(0), token.sid, scope(parts)), 32);
}

function openFor(token, sk, parts, packaged) {
  const bound = context(parts);
  if (token.form === "short") {
    if (packaged) refuse("short form of a package's key");
    const com = hmac(expand(sk, bytes("sealyard/v1/ctx"), 32), join(token.iv, bound)).subarray(0, 16);
    if (!same(token.com, com)) refuse("com");
    return openGcm(sk, token.iv, token.sealed, join("sy1.", token.head, bound));
  }
  const commitment = hmac(expand(sk, bytes("sealyard/v1/ctx"), 32), bound);
  if (!same(token.ctx, packaged ? commitment : commitment.subarray(0, 16))) refuse("ctx");
  return openGcm(sk, token.iv, token.sealed, token.aad);
}

export function openToken({ token: text, parts, keyring = {}, key, packaged, now }) {
  const token = decodeToken(text.replace(/~(?:(?:[a-z2-7]{5}~)+|(?:[a-z2-7]{27}~)+)$/, "")); // tags
  if (token.exp !== undefined && now > token.exp + SKEW) refuse("expired");
  const durable = token.kek !== undefined || token.number !== undefined;
  const name = to64(hmac(Buffer.from(keyring.name_key ?? "", "hex"), scope(parts)).subarray(0, 16));
  if (durable && token.sid.readUInt32BE(0) < (keyring.revocations?.[name] ?? 0)) refuse("revoked");
  const sk = durable ? durableKey(keyring, token, parts) : Buffer.from(key ?? refuse("no key"), "hex");
  return { plaintext: openFor(token, sk, parts, packaged), cty: token.cty };
}

export function openEqual({ token, parts, secret, generation }) {
  const data = from64(token.replace(/^sy1\./, ""));
  const [head, s, ct] = [data.subarray(0, 3), data.subarray(3, 19), data.subarray(19)];
  if (!token.startsWith("sy1.") || data.length < 19 || ![8, 10].includes(head[0])) refuse("equal");
  if (!head.readUInt16BE(1) || head.readUInt16BE(1) !== generation) refuse("generation");
  const bound = context(parts);
  const info = join(Buffer.of(0), u32(bound.length), bound, u32(generation));
  const key = (label) => expand(Buffer.from(secret, "hex"), join(`sealyard/v1/equal/${label}`, info), 32);
  const cipher = createDecipheriv("aes-256-ctr", key("enc"), s);
  const plaintext = join(cipher.update(ct), cipher.final());
  if (!same(s, hmac(key("mac"), join(u32(bound.length), bound, "sy1.", head, plaintext)).subarray(0, 16))) refuse("S");
  return { plaintext, cty: head[0] & 2 ? "json" : undefined };
}

// ---- Sealed stream

const COBBLESTONE = join("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM", Buffer.of(0));
const CHUNK = 16384;

export function openStream(task) {
  const data = Buffer.from(task.stream, "base64");
  if (!data.subarray(0, 5).equals(join("SYST", Buffer.of(1))) || data.length < 7) refuse("magic");
  const end = 7 + data.readUInt16BE(5);
  if (end > 7 + 1024 || data.length < end + 56) refuse("head");
  const opened = openToken({ ...task, token: data.subarray(7, end).toString("latin1") });
  if (opened.cty !== "stream-key" || opened.plaintext.length < 32) refuse("J");
  const bound = join(data.subarray(0, end), context(task.parts));
  const salt = data.subarray(end, end + 24);
  const derived = expand(opened.plaintext.subarray(0, 32), join(COBBLESTONE, salt, bound), 76, "sha512");
  if (!same(derived.subarray(44), data.subarray(end + 24, end + 56))) refuse("commitment");
  const chunks = [];
  for (let number = 0, at = end + 56; ; number += 1, at += CHUNK + 16) {
    const iv = Buffer.from(derived.subarray(32, 44));
    iv.writeUInt32BE((iv.readUInt32BE(8) ^ number) >>> 0, 8); // streams here have fewer than 2^32 chunks
    const chunk = openGcm(derived.subarray(0, 32), iv, data.subarray(at, at + CHUNK + 16), Buffer.alloc(0));
    chunks.push(chunk);
    if (chunk.length < CHUNK) {
      if (at + chunk.length + 16 !== data.length) refuse("more behind the last chunk");
      break;
    }
  }
  return { plaintext: join(...chunks), mediaType: opened.plaintext.subarray(32).toString("latin1") };
}
