"""Makes sy1.json: vectors of the wire forms `sy1`, from the specification and nothing of `proxy`.

Run it only for a new wire form, under another name: it refuses to overwrite what is frozen.
It is a second implementation on purpose, so that the vectors do not prove the code by itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TARGET = Path(__file__).with_name("sy1.json")
LABELS = {"tenant": 1, "conversation": 2, "field": 3, "message": 4, "purpose": 5, "kind": 6}
PARTS = {
    "tenant": "clinic",
    "conversation": "c-42",
    "field": "content",
    "message": "msg/ü-7",
    "purpose": "archive",
    "kind": "body",
}
NOW = 1_800_000_000
# These cases fail in every way there is; the others take turns.
SHOW_EVERYTHING = {"20 bytes", "20 bytes, short", "ephemeral, all parts", "ephemeral, short"}


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def material(label: str, size: int) -> bytes:
    """Return bytes that follow from a label, so that anybody can make them again."""
    return hashlib.shake_256(f"sealyard vectors sy1 {label}".encode()).digest(size)


def expand(key: bytes, info: bytes) -> bytes:
    """Return the first 32 bytes of HKDF-Expand with SHA-256: its first block."""
    return hmac.digest(key, info + b"\x01", "sha256")


def encode_context(parts: dict[str, str]) -> bytes:
    """Return CONTEXT of the parts that are bound."""
    entries = b""
    for name, label in LABELS.items():
        if name in parts:
            text = parts[name].encode()
            entries += struct.pack(">BI", label, len(text)) + text
    return entries


def encode_scope(parts: dict[str, str]) -> bytes:
    """Return SCOPE: tenant and conversation alone."""
    return encode_context({k: v for k, v in parts.items() if k in {"tenant", "conversation"}})


@dataclass(frozen=True)
class Case:
    """What a token is made from."""

    name: str
    form: str
    context: dict[str, str]
    plaintext: bytes
    ephemeral: bool = False
    cty: str | None = None
    exp: int | None = None
    kek_id: str = "k1"
    kek_number: int = 1

    @property
    def sid(self) -> bytes:
        """The session id: creation time, then eight bytes."""
        return struct.pack(">I", NOW - 600) + material(f"{self.name} sid", 8)

    @property
    def kek(self) -> bytes:
        """The key-encryption key."""
        return material(f"kek {self.kek_id}", 32)

    @property
    def sk(self) -> bytes:
        """The session key, derived or random."""
        if self.ephemeral:
            return material(f"{self.name} sk", 32)
        return expand(self.kek, b"sealyard/v1/sk\x00" + self.sid + encode_scope(self.context))

    @property
    def iv(self) -> bytes:
        """The IV; random in life."""
        return material(f"{self.name} iv", 12)

    def commitment(self, size: int = 16) -> bytes:
        """Return what stands in `ctx`."""
        kctx = expand(self.sk, b"sealyard/v1/ctx")
        return hmac.digest(kctx, encode_context(self.context), "sha256")[:size]

    def header(self) -> str:
        """Return the protected header."""
        kid = b64(self.sid) if self.ephemeral else f"{self.kek_id}.{b64(self.sid)}"
        members = [("typ", "sy1"), ("alg", "dir"), ("enc", "A256GCM"), ("kid", kid)]
        text = ",".join(f'"{name}":"{value}"' for name, value in members)
        if self.cty is not None:
            text += f',"cty":"{self.cty}"'
        if self.exp is not None:
            text += f',"exp":{self.exp}'
        return "{" + text + f',"ctx":"{b64(self.commitment())}"' + "}"

    def token(self) -> str:
        """Return the token."""
        return self.jwe(self.header()) if self.form == "jwe" else self.short()

    def jwe(self, header: str) -> str:
        """Return the standard form under any header."""
        head = b64(header.encode())
        sealed = AESGCM(self.sk).encrypt(self.iv, self.plaintext, head.encode())
        return f"{head}..{b64(self.iv)}.{b64(sealed[:-16])}.{b64(sealed[-16:])}"

    def short(self, flags: int | None = None, number: int | None = None) -> str:
        """Return the short form, if need be with other flags or another KEK number."""
        if flags is None:
            flags = (1 if self.ephemeral else 0) | (2 if self.cty == "json" else 0)
        if number is None:
            number = 0 if self.ephemeral else self.kek_number
        kctx = expand(self.sk, b"sealyard/v1/ctx")
        com = hmac.digest(kctx, self.iv + encode_context(self.context), "sha256")[:16]
        head = struct.pack(">BH", flags, number) + self.sid + self.iv + com
        aad = b"sy1." + head + encode_context(self.context)
        return "sy1." + b64(head + AESGCM(self.sk).encrypt(self.iv, self.plaintext, aad))


def combinations() -> Iterator[dict[str, str]]:
    """Yield every choice of bound parts."""
    for size in range(len(PARTS) + 1):
        for names in itertools.combinations(PARTS, size):
            yield {name: PARTS[name] for name in names}


def cases() -> list[Case]:
    """Return every case that must open."""
    usual = {name: PARTS[name] for name in ("tenant", "conversation", "field")}
    body = {**usual, "kind": "body"}
    del body["field"]
    told = [
        Case("20 bytes", "jwe", usual, b"Meet me at the gate."),
        Case("1 KiB", "jwe", usual, material("1 KiB", 1024).hex()[:1024].encode()),
        Case("20 bytes, short", "short", usual, b"Meet me at the gate."),
        Case("1 KiB, short", "short", usual, material("1 KiB", 1024).hex()[:1024].encode()),
        Case("129 bytes fill 255 characters", "short", usual, b"s" * 129),
        Case("59 bytes fill 255 characters", "jwe", usual, b"s" * 59),
        Case("empty", "jwe", usual, b""),
        Case("empty, short", "short", usual, b""),
        Case("not ASCII", "jwe", usual, "Grüße, 世界 🌍 \0".encode()),
        Case("not ASCII, short", "short", usual, "Grüße, 世界 🌍 \0".encode()),
        Case("a number", "jwe", usual, b"1.10", cty="json"),
        Case("an object, short", "short", usual, b'{"b": 1, "a" :[ ]}', cty="json"),
        Case("a body", "jwe", body, b"<p>\xff</p>", cty="text/html; charset=latin1"),
        Case("a body without a type", "jwe", body, bytes(range(256))),
        Case("expires", "jwe", usual, b"until then", exp=NOW - 60),
        Case("expires, with a type", "jwe", usual, b"[1,2]", cty="json", exp=NOW + 3600),
        Case("KEK id of one character", "jwe", usual, b"x", kek_id="K", kek_number=2),
        Case("KEK id of 32 characters", "jwe", usual, b"x", kek_id="a-B_" * 8, kek_number=65535),
        Case("highest KEK number", "short", usual, b"x", kek_id="a-B_" * 8, kek_number=65535),
        Case("ephemeral", "jwe", usual, b"for ever gone", ephemeral=True),
        Case("ephemeral, short", "short", usual, b"for ever gone", ephemeral=True),
        Case("ephemeral, all parts", "jwe", dict(PARTS), b"null", ephemeral=True, cty="json"),
    ]
    for context in combinations():
        form = "short" if len(context) % 2 else "jwe"
        told.append(Case(f"bound: {' '.join(context) or 'nothing'}", form, context, b"part"))
    return told


Failure = dict[str, object]


def failures(case: Case, at: int) -> list[Failure]:
    """Return ways in which a case must fail: those of every token, and some or all of its form."""
    token = case.token()
    moved = "wrong-context"
    other = {**case.context, "field": "subject"}
    more = {**case.context, "message": case.context.get("message", "") + "x"}
    general: list[Failure] = [
        {"name": "bad tag", "token": flip(token, last=True), "reason": "bad-tag"},
        {"name": "another field", "token": token, "context": other, "reason": moved},
        {"name": "another message", "token": token, "context": more, "reason": moved},
        {"name": "another key", "token": token, "sk": material("other", 32).hex(), "reason": moved},
    ]
    special = jwe_failures(case) if case.form == "jwe" else short_failures(case)
    if case.name in SHOW_EVERYTHING:
        return general + special
    return general + [special[(2 * at + turn) % len(special)] for turn in range(2)]


def flip(token: str, *, last: bool) -> str:
    """Return the token with one bit of its tag changed, still in canonical spelling."""
    # Four characters from the end all six bits count, whatever the length.
    at = len(token) - 4 if last else 20
    return token[:at] + ("B" if token[at] == "A" else "A") + token[at + 1 :]


def jwe_failures(case: Case) -> list[Failure]:
    """Return what is no token of ours although it may look like one, or even open elsewhere."""
    header = case.header()
    head, _, iv, ciphertext, tag = case.token().split(".")
    malformed, wrong, spelled = "malformed-token", "malformed-token-header", "base64-not-canonical"

    def with_header(name: str, text: str, reason: str = wrong) -> Failure:
        return {"name": name, "token": case.jwe(text), "reason": reason}

    def with_text(name: str, text: str, reason: str) -> Failure:
        return {"name": name, "token": text, "reason": reason}

    ctx = header[header.index(',"ctx"') : -1]
    long_ctx = f',"ctx":"{b64(case.commitment(32))}"'
    dir_gcm = '"alg":"dir","enc":"A256GCM"'
    swapped = '"enc":"A256GCM","alg":"dir"'
    return [
        with_header("members in another order", header.replace(dir_gcm, swapped)),
        with_header("ctx before kid", move_ctx(header)),
        with_header("typ not first", typ_last(header), "not-a-token"),
        with_header("a space after a comma", header.replace(",", ", ")),
        with_header("a space at the end", header + " "),
        with_header("a space after the first colon", header.replace(":", ": ", 1), "not-a-token"),
        with_header("zip", header[:-1] + ',"zip":"DEF"}'),
        with_header("crit", header[:-1] + ',"crit":["exp"]}'),
        with_header("b64", header[:-1] + ',"b64":false}'),
        with_header("jku", header[:-1] + ',"jku":"https://keys.example/"}'),
        with_header("jwk", header[:-1] + ',"jwk":{"kty":"oct","k":"AA"}}'),
        with_header("x5u", header[:-1] + ',"x5u":"https://keys.example/"}'),
        with_header("p2c", header[:-1] + ',"p2c":1000000}'),
        with_header("alg none", header.replace('"dir"', '"none"')),
        with_header("alg RSA1_5", header.replace('"dir"', '"RSA1_5"')),
        with_header("alg A256KW", header.replace('"dir"', '"A256KW"')),
        with_header("alg PBES2", header.replace('"dir"', '"PBES2-HS512+A256KW"')),
        with_header("enc A128GCM", header.replace("A256GCM", "A128GCM")),
        with_header("alg twice", header.replace('"alg":"dir"', '"alg":"none","alg":"dir"')),
        with_header("kid twice", header.replace(ctx, f',"kid":"{b64(case.sid)}"' + ctx)),
        with_header("ctx twice", header.replace(ctx, ctx + ctx)),
        with_header("no ctx", header.replace(ctx, "")),
        with_header("ctx of 43 characters", header.replace(ctx, long_ctx), "wrong-context"),
        with_header("ctx of 21 characters", header[:-3] + '"}'),
        with_header("an escape in the header", header.replace("dir", "d\\u0069r")),
        with_header(
            "KEK id of 33 characters", header.replace('"kid":"', '"kid":"' + "k" * 33 + ".")
        ),
        with_header("exp with a leading zero", header.replace(ctx, ',"exp":01' + ctx)),
        with_header("exp as text", header.replace(ctx, ',"exp":"1"' + ctx)),
        with_header("negative exp", header.replace(ctx, ',"exp":-1' + ctx)),
        with_text("second part not empty", f"{head}.AAAA.{iv}.{ciphertext}.{tag}", malformed),
        with_text("short tag", f"{head}..{iv}.{ciphertext}.{tag[:-2]}", malformed),
        with_text("12-byte tag", f"{head}..{iv}.{ciphertext}.{tag[:16]}", malformed),
        with_text("long IV", f"{head}..{iv}AAAA.{ciphertext}.{tag}", malformed),
        with_text("no tag", f"{head}..{iv}.{ciphertext}.", malformed),
        with_text("four parts", f"{head}..{iv}.{ciphertext}", malformed),
        with_text("six parts", f"{head}..{iv}.{ciphertext}.{tag}.", malformed),
        with_text("one character cut", case.token()[:-1], malformed),
        with_text("one character more", case.token() + "A", malformed),
        with_text("a line end", case.token() + "\n", malformed),
        with_text("padding", f"{head}..{iv}.{ciphertext}.{tag}==", malformed),
        with_text("plus for minus", f"{head}..+{iv[1:]}.{ciphertext}.{tag}", malformed),
        with_text("slash for underscore", f"{head}..{iv[:-1]}/.{ciphertext}.{tag}", malformed),
        with_text("trailing bits in the tag", trailing(case.token()), spelled),
        with_text("not a token at all", "Meet me at the gate.", "not-a-token"),
        with_text(
            "another JWT", "eyJhbGciOiJkaXIiLCJ0eXAiOiJzeTEifQ..AAAA.AAAA.AAAA", "not-a-token"
        ),
        expired(case),
    ]


def expired(case: Case) -> Failure:
    """Return the case with an expiry that lies one second beyond the skew."""
    late = replace(case, exp=NOW - 61)
    return {"name": "expired 61 s ago", "token": late.token(), "reason": "expired-token"}


def typ_last(header: str) -> str:
    """Return the header with `typ` at its end."""
    return "{" + header.removeprefix('{"typ":"sy1",')[:-1] + ',"typ":"sy1"}'


def move_ctx(header: str) -> str:
    """Return the header with `ctx` before `kid`."""
    at = header.index(',"ctx"')
    return header[:at].replace(',"kid"', header[at:-1] + ',"kid"') + "}"


def trailing(token: str) -> str:
    """Return a token whose last character carries a bit that decodes to nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


def short_failures(case: Case) -> list[Failure]:
    """Return short forms that must not open."""
    token = case.token()
    data = base64.urlsafe_b64decode(token[4:] + "=" * (-len(token[4:]) % 4))
    kind = 1 if case.ephemeral else 0
    malformed, wrong, spelled = "malformed-token", "malformed-token-header", "base64-not-canonical"

    def fails(name: str, text: str, reason: str) -> Failure:
        return {"name": name, "token": text, "reason": reason}

    return [
        fails("KEK number and ephemeral flag", case.short(flags=1, number=7), wrong),
        *(
            fails(f"flag {bit}", case.short(flags=kind | bit), wrong)
            for bit in (4, 8, 16, 32, 64, 128)
        ),
        fails(
            "another flag than was sealed",
            "sy1." + b64(bytes((data[0] ^ 2,)) + data[1:]),
            "bad-tag",
        ),
        fails(
            "another IV", "sy1." + b64(data[:15] + material("iv", 12) + data[27:]), "wrong-context"
        ),
        fails(
            "another commitment",
            "sy1." + b64(data[:27] + material("com", 16) + data[43:]),
            "wrong-context",
        ),
        fails("too short for a tag", "sy1." + b64(data[: 43 + 15]), malformed),
        fails("nothing behind the prefix", "sy1.", malformed),
        fails("padding", token + "=", spelled),
        fails("one impossible character", "sy1." + "A" * 61, spelled),
        fails("plus", "sy1.+" + token[5:], spelled),
        fails("slash", "sy1./" + token[5:], spelled),
        fails("a line end", token + "\n", spelled),
        fails("trailing bits", "sy1." + b64(bytes(43))[:-1] + "B", spelled),
        fails("a second prefix", "sy1." + token, spelled),
    ]


def main() -> None:
    """Write the vectors once."""
    if TARGET.exists():
        sys.exit(f"{TARGET.name} is frozen: a new wire form is a new file")
    successes = []
    for at, case in enumerate(cases()):
        token = case.token()
        successes.append(
            {
                "name": case.name,
                "form": case.form,
                "kek": None if case.ephemeral else case.kek.hex(),
                "kek_id": None if case.ephemeral else case.kek_id,
                "kek_number": None if case.ephemeral else case.kek_number,
                "sk": case.sk.hex(),
                "sid": case.sid.hex(),
                "context": case.context,
                "context_hex": encode_context(case.context).hex(),
                "scope_hex": encode_scope(case.context).hex(),
                "cty": case.cty,
                "exp": case.exp,
                "iv": case.iv.hex(),
                "plaintext_hex": case.plaintext.hex(),
                "characters": len(token),
                "token": token,
                "must_fail": failures(case, at),
            }
        )
    document = {"version": "sy1", "now": NOW, "must_open": successes}
    TARGET.write_text(json.dumps(document, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
