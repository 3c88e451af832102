"""Key packages: the session key of a conversation, wrapped for several recipients, signed.

JWE General JSON (RFC 7516) by A256GCM, and by RSA-OAEP-256, ECDH-ES+A256KW or X-Wing (experimental,
see x_wing) for each recipient, around a JWS (RFC 7515, EdDSA or PS256) of the sender over the
session key, the conversation and all recipients. The signature is inside, so that outsiders do not
learn who wrote; since it names the recipients, none of them can pass it on under the sender's name.
The shapes are read strictly before any library sees them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from ...config.settings.keys import MOST_PACKAGE_AGE
from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.crypto.derivation import SID_BYTES
from ...core.crypto.joined_names import to_json
from ...core.crypto.secret import KEY_BYTES, SessionKey
from ...core.crypto.session_cipher import Session
from ...core.errors import OpenFailed, ParticipantError
from ..keyring.jwk_set import decoded
from ..policy import MAX_RECIPIENTS, PACKAGE_SKEW_SECONDS
from . import package_shape, signature, x_wing
from .package_shape import Shape
from .public_key import PublicKey

if TYPE_CHECKING:
    from .package_jwe import Opener


@dataclass(frozen=True, slots=True)
class Identity:
    """A participant's key with its private side; `private` is the opened JWK and never printed.

    Keep it where several packages are opened: an RSA key takes a while to load.
    """

    public: PublicKey
    private: dict[str, Any] = field(repr=False)
    opener: Opener | None = field(init=False, repr=False, compare=False)
    hybrid: MLKEM768X25519PrivateKey | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Load the key as the JOSE library wants it, or as X-Wing does."""
        from . import package_jwe  # noqa: PLC0415 - joserfc is only worth it where packages are

        hybrid: MLKEM768X25519PrivateKey | None = None
        if self.public.kind == "X-Wing":
            hybrid = x_wing.private_key(decoded(self.private["priv"]) or b"")
        opener = package_jwe.opener(self.public, self.private)
        object.__setattr__(self, "opener", opener)
        object.__setattr__(self, "hybrid", hybrid)


@dataclass(frozen=True, slots=True)
class OpenedPackage:
    """What a package held: the session key, its id, who sent it and when it ends."""

    key: SessionKey
    sid: bytes
    issuer: str
    exp: int
    scope: Scope

    def session(self) -> Session:
        """Return the session under that key, whose tokens commit to it with all 32 bytes."""
        return Session(self.key, sid=self.sid, scope=self.scope, packaged=True)


def seal(  # noqa: PLR0913 - each is in the package, each by its name
    key: SessionKey,
    *,
    sid: bytes,
    scope: Scope,
    sender: Identity,
    recipients: Sequence[PublicKey],
    now: int,
    ttl: int,
) -> bytes:
    """Return the package of the session `sid` for all `recipients`, valid for `ttl` seconds.

    Raises ParticipantError where a key does not fit its part, is listed twice, or there are none
    or more than 16.
    """
    from . import package_jwe  # noqa: PLC0415 - see above

    if sender.public.use != "sig" or any(one.use != "enc" for one in recipients):
        raise ParticipantError("a package is signed by a sig key and wrapped for enc keys")
    audience = [one.kid for one in recipients]
    if not 0 < len(audience) <= MAX_RECIPIENTS or len(set(audience)) != len(audience):
        raise ParticipantError(f"a package has 1 to {MAX_RECIPIENTS} recipients, each once")
    if not 0 < ttl <= MOST_PACKAGE_AGE or len(sid) != SID_BYTES:
        raise ParticipantError("a package has a session id of 12 bytes and at most a year to live")
    claims = {
        "jwk": {
            "kty": "oct",
            "k": base64url.encode(key.reveal()).decode(),
            "kid": base64url.encode(sid).decode(),
        },
        "iss": sender.public.kid,
        "aud": audience,
        **_scope_claims(scope),
        "iat": now,
        "exp": now + ttl,
    }
    signed = signature.sign(claims, sender.private, sender.public)
    written = package_jwe.encrypt(signed, recipients)
    return json.dumps(written, separators=(",", ":")).encode()


def is_for(text: bytes, kid: str) -> bool:
    """Whether a package lists the key of that id; nothing of it is authentic yet."""
    try:
        return kid in package_shape.parse(text).recipients
    except OpenFailed:
        return False


def unseal(  # noqa: PLR0913 - each says something else of what is expected, each by its name
    text: bytes,
    identity: Identity,
    *,
    sender: PublicKey,
    scope: Scope,
    now: float,
    longest: float = MOST_PACKAGE_AGE,
) -> OpenedPackage:
    """Return what `sender` sent to `identity` for `scope`; raise OpenFailed whatever the cause.

    The caller knows the sender's key from elsewhere: nothing in a package says whom to trust. One
    that lives for more than `longest` seconds is refused, however fresh: its sender says its end.
    """
    shape = package_shape.parse(text)
    signed = _decrypt(shape, identity)
    claims = signature.verified(signed, sender)
    if claims is None:
        raise OpenFailed("package-signature")
    if claims.get("iss") != sender.kid:
        raise OpenFailed("package-issuer")
    audience = claims.get("aud")
    if not isinstance(audience, list) or sorted(map(str, audience)) != sorted(shape.recipients):
        raise OpenFailed("package-audience")
    said = {name: claims[name] for name in ("tenant", "cid") if name in claims}
    if said != _scope_claims(scope):
        raise OpenFailed("package-conversation")
    issued, ends = claims.get("iat"), claims.get("exp")
    if type(issued) is not int or type(ends) is not int or issued > now + PACKAGE_SKEW_SECONDS:
        raise OpenFailed("package-times")
    if not 0 < ends - issued <= longest:
        raise OpenFailed("package-lives-too-long")
    if now > ends + PACKAGE_SKEW_SECONDS:
        raise OpenFailed("package-expired")
    key, sid = package_shape.session_key(claims.get("jwk"))
    return OpenedPackage(key, sid, sender.kid, ends, scope)


def _decrypt(shape: Shape, identity: Identity) -> bytes:
    """Return the JWS inside, opened by the one recipient entry that is ours."""
    from . import package_jwe  # noqa: PLC0415 - see above

    mine = shape.only_for(identity.public.kid, identity.public.alg)
    if mine is not None and identity.hybrid is not None:
        return _decrypt_hybrid(mine, identity.hybrid, identity.public.kid)
    if mine is None or identity.opener is None:
        raise OpenFailed("package-not-for-us")
    plaintext = package_jwe.decrypt(mine, identity.opener, identity.public.alg)
    if plaintext is None:  # raised here, so that no traceback drags joserfc's frames along
        raise OpenFailed("package-bad-tag")
    return plaintext


def _decrypt_hybrid(mine: Any, private: MLKEM768X25519PrivateKey, kid: str) -> bytes:  # noqa: ANN401 - JSON
    """Return the JWS inside by X-Wing, and by RFC 7516, section 5.2, after it."""
    wrapped, iv, ciphertext, tag = (
        decoded(one) or b""
        for one in (
            mine["recipients"][0]["encrypted_key"],
            *map(mine.get, ("iv", "ciphertext", "tag")),
        )
    )
    content_key = x_wing.unwrap(wrapped, private, kid)
    if content_key is None or len(content_key) != KEY_BYTES:
        raise OpenFailed("package-bad-tag")
    signed: bytes | None = None
    with contextlib.suppress(InvalidTag):
        aad = mine["protected"].encode()
        signed = AESGCM(content_key).decrypt(iv, ciphertext + tag, aad)
    if signed is None:
        raise OpenFailed("package-bad-tag")
    return signed


def _scope_claims(scope: Scope) -> dict[str, object]:
    """Return the names of a scope as claims; a joined name is no text there either."""
    named = {"tenant": scope.tenant, "cid": scope.conversation}
    return {claim: to_json(name) for claim, name in named.items() if name is not None}
