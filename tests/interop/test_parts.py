"""A sealed part of a form opens in stock joserfc: its content, its type and its filename."""

from __future__ import annotations

import pytest
from joserfc import jwe
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey

from proxy.core.crypto import base64url, derivation
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.multipart import reader
from proxy.core.formats.multipart.reader import Boundary
from proxy.core.rules.model import Names
from tests.factories import KEK, SCOPE, a_block, a_message, a_rule, a_sid, an_item, sent

REGISTRY = JWERegistry(algorithms=["dir", "A256GCM"], strict_check_header=False)
ROOMY = JWERegistry(algorithms=["dir", "A256GCM"], strict_check_header=False)
ROOMY.max_ciphertext_length = 88 * 1024  # as it comes, joserfc takes 48 KiB of content
NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
RULE = a_rule(
    request=a_block(encrypt=[an_item("part:file", field="f"), an_item("filename:file", field="n")]),
    names=NAMES,
)
TYPE = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)


@pytest.mark.parametrize("content", [b"x", bytes(range(256)) * 192, bytes(64 * 1024)])
def test_joserfc_opens_a_file_and_its_name(content: bytes) -> None:
    head = b'Content-Disposition: form-data; name="file"; filename="\xc3\xa9.png"\r\n'
    body = b"--of-parts\r\n%bContent-Type: image/png\r\n\r\n%b\r\n--of-parts--" % (head, content)
    key = derivation.session_key(KEK, a_sid(), SCOPE)
    jwk = OctKey.import_key({"kty": "oct", "k": base64url.encode(key.reveal()).decode()})

    sealed = sent(RULE, a_message(body, headers=TYPE))

    (part,) = reader.parts(sealed, Boundary(b"--of-parts", quoted=False))
    assert part.filename is not None
    registry = REGISTRY if len(content) <= 48 * 1024 else ROOMY
    file = jwe.decrypt_compact(sealed[part.start : part.end], jwk, registry=registry)
    name = jwe.decrypt_compact(
        sealed[part.filename.start : part.filename.end], jwk, registry=REGISTRY
    )
    assert (content, "image/png") == (file.plaintext, file.protected["cty"])
    assert name.plaintext == "é.png".encode()
