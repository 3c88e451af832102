// Tags, by docs/reference/wire-format.md: what stands behind a token, for searches.
import { createCipheriv } from "node:crypto";
import { expand, hmac, scope, sha256, u32 } from "./wire_notation.mjs";

const CHARACTERS = "abcdefghijklmnopqrstuvwxyz234567";

const base32 = (bytes, length) => {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return Array.from({ length }, (_, at) => CHARACTERS[parseInt(bits.slice(5 * at, 5 * at + 5).padEnd(5, "0"), 2)]).join("");
};

const block = (word) => {
  const text = Buffer.from(word, "utf8");
  if (text.length < 16) return Buffer.concat([Buffer.of(text.length), text, Buffer.alloc(15 - text.length)]);
  return Buffer.concat([Buffer.of(255), sha256(text).subarray(0, 15)]);
};

export const tagsOf = ({ secret, generation, parts, field, kind, words }) => {
  const info = [scope(parts), Buffer.from(field), Buffer.from(kind)].flatMap((one) => [u32(one.length), one]);
  const label = [Buffer.from("sealyard/v1/index/1\0"), ...info, u32(generation)];
  const key = expand(Buffer.from(secret, "hex"), Buffer.concat(label), 32);
  const mark = CHARACTERS[generation % 32];
  const tags = words.map((word) => {
    if (kind === "exact") return mark + base32(hmac(key, Buffer.from(word)).subarray(0, 16), 26);
    const cipher = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
    return mark + base32(Buffer.concat([cipher.update(block(word)), cipher.final()]), 4);
  });
  return { tags };
};
