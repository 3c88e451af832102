// What every part of the reader needs: the page's notation, and names. See wire_reader.mjs.
import { createDecipheriv, createHash, createHmac, timingSafeEqual } from "node:crypto";

export const SKEW = 60;

export class Refused extends Error {}
export const refuse = (why) => { throw new Refused(why); };

// ---- Notation

export const bytes = (text) => Buffer.from(text, "utf8");
export const join = (...parts) => Buffer.concat(parts.map((one) => (typeof one === "string" ? bytes(one) : one)));
export const u16 = (n) => { const b = Buffer.alloc(2); b.writeUInt16BE(n); return b; };
export const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };
export const same = (a, b) => a.length === b.length && timingSafeEqual(a, b);
export const hmac = (key, data) => createHmac("sha256", key).update(data).digest();
export const sha256 = (data) => createHash("sha256").update(data).digest();
export const to64 = (data) => Buffer.from(data).toString("base64url");

export function from64(text) {
  if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text)) refuse("base64url");
  const data = Buffer.from(text, "base64url");
  if (to64(data) !== text) refuse("base64url"); // not canonical
  return data;
}

export function expand(key, info, size, hash = "sha256") {
  let block = Buffer.alloc(0);
  let made = Buffer.alloc(0);
  for (let at = 1; made.length < size; at += 1) {
    block = createHmac(hash, key).update(join(block, info, Buffer.of(at))).digest();
    made = join(made, block);
  }
  return made.subarray(0, size);
}

export function openGcm(key, iv, sealed, aad) {
  if (iv.length !== 12 || sealed.length < 16) refuse("shape");
  const cipher = createDecipheriv("aes-256-gcm", key, iv, { authTagLength: 16 });
  cipher.setAAD(aad);
  cipher.setAuthTag(sealed.subarray(sealed.length - 16));
  try {
    return join(cipher.update(sealed.subarray(0, sealed.length - 16)), cipher.final());
  } catch {
    return refuse("tag");
  }
}

export function unwrapKey(key, wrapped) { // RFC 3394
  const cipher = createDecipheriv("id-aes256-wrap", key, Buffer.alloc(8, 0xa6));
  try {
    return join(cipher.update(wrapped), cipher.final());
  } catch {
    return refuse("wrapped key");
  }
}

// ---- Names, CONTEXT and SCOPE

const LABELS = [["tenant", 1], ["conversation", 2], ["field", 3], ["message", 4], ["purpose", 5], ["kind", 6]];
export const isJoined = (name) => name !== undefined && name !== null && typeof name !== "string";

function kindAndParts(name) {
  return Array.isArray(name) ? [1, name] : [2, name.members];
}

function nameValue(name) {
  if (typeof name === "string") return bytes(name);
  const [kind, parts] = kindAndParts(name);
  const encoded = parts.map((one) => {
    const value = nameValue(one);
    return join(Buffer.of(isJoined(one) ? kindAndParts(one)[0] : 0), u32(value.length), value);
  });
  return join(...(kind === 2 ? encoded.sort(Buffer.compare) : encoded));
}

export function context(parts) {
  const entries = LABELS.filter(([part]) => parts[part] !== undefined && parts[part] !== null)
    .map(([part, label]) => {
      const name = parts[part];
      const value = nameValue(name);
      const step = isJoined(name) ? 0x10 * kindAndParts(name)[0] : 0;
      return join(Buffer.of(label + step), u32(value.length), value);
    });
  return join(...entries);
}

export const scope = ({ tenant, conversation }) => context({ tenant, conversation });
