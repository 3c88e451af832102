"""Who sends a request: its credentials are found, verified once, and the verdict is kept.

What a verdict rests on is all in the digest that it is kept under: tokens, headers and the
certificate of the connection. It is dropped when a key of an issuer changes, and with the listener.
"""

from __future__ import annotations

import hashlib
import ssl
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from ...config.settings import Network
from ...config.settings.callers import CREDENTIALS, CallerKeys
from ...core.callers import VerifiedCaller
from ...core.errors import CallerKeysAway, CallersThrottled, CallerUnverified, TrafficError
from ...core.expressions.name_readings import fold_header
from ...core.http.header_names import HeaderNames, names_in
from ...keys.lru_map import BoundedMap
from ...process.certificates import CertificateNames, RevocationLists, get_ready, names_of
from ..http1.forwarding_headers import Peer, trusts
from ..http1.gate import RawRequest
from ..policy import MOST_NAMES, MOST_VERDICTS, VERDICT_SECONDS
from . import token as tokens
from .failures import Failures
from .issuer_keys import IssuerKeys
from .table import CallerTable, Connected, ConnectionCaller, TokenCaller, Verifier
from .tenants import texts_of

_AUTHORIZATION: Final = b"authorization"
_XFCC: Final = b"x-forwarded-client-cert"
_XFCC_FOLDED: Final = fold_header(_XFCC)


class Credentials(NamedTuple):
    """What a request shows: lines of headers, and the certificate of its connection (DER).

    `peer` is who has sent it; `digest` is None where it shows nothing.
    """

    authorization: list[bytes]
    xfcc: list[bytes]
    named: list[tuple[bytes, bytes]]
    certificate: bytes
    peer: Peer
    digest: bytes | None


class CallerVerdict(NamedTuple):
    """Whose some credentials are (None: of nobody whom the listener knows), and for how long."""

    caller: VerifiedCaller | None
    until: float
    ends: float


class _KeysWanted(Exception):
    """A key of an issuer is needed before a token can be verified."""

    def __init__(self, source: IssuerKeys, kid: str) -> None:
        super().__init__()
        self.source = source
        self.kid = kid


class Callers:
    """Verifies the callers of one listener.

    `sources` have the keys of each issuer; `tls` is the context that certificates were verified in,
    and `revoked` are those that count no more, whatever it said when a connection began.
    `counts` is where verifications are counted, by caller and outcome; it outlives a reload.
    `clock` returns seconds since 1970.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        table: CallerTable,
        sources: Mapping[CallerKeys, IssuerKeys],
        *,
        order: Sequence[str],
        trusted_proxies: Sequence[Network],
        tls: ssl.SSLContext | None,
        revoked: RevocationLists | None,
        counts: dict[tuple[str, str], int],
        clock: Callable[[], float],
    ) -> None:
        self._table = table
        self._sources = sources
        self._order = order
        self._trusted = tuple(trusted_proxies)
        self._tls = tls
        self._revoked = revoked
        self._trust: weakref.WeakKeyDictionary[ssl.SSLContext, bool] = weakref.WeakKeyDictionary()
        self._counts = counts
        self._clock = clock
        self._failures = Failures(time.monotonic)
        self._verdicts: BoundedMap[bytes, CallerVerdict] = BoundedMap(MOST_VERDICTS)
        self._folded = frozenset(table.headers)
        if tls is not None:
            get_ready()
        for one in sources.values():
            one.kept_by.add(self)

    def forget(self) -> None:
        """Forget all verdicts: a key that some of them rest on is not what it was."""
        self._verdicts.clear()

    def earned(self, raw: RawRequest, peer: Peer) -> RawRequest:
        """Return a request without headers that name a caller where the connection does not count.

        Their twins go too: a backend may take one for the other.
        """
        if self._folded.isdisjoint(raw.names[_folded]):
            return raw
        exact = self._earned(raw, peer)
        kept = tuple(
            (name, value)
            for name, value in raw.headers
            if name.lower() in exact or fold_header(name) not in self._folded
        )
        return replace(raw, headers=kept, names=names_in(kept))

    def presented(self, raw: RawRequest, peer: Peer) -> Credentials:
        """Return the credentials of a request that has passed `earned` and the gate."""
        names, headers, table = raw.names, raw.headers, self._table
        authorization = names.values_in(headers, _AUTHORIZATION) if table.by_token else []
        xfcc: list[bytes] = []
        named: list[tuple[bytes, bytes]] = []
        certificate = b""
        if table.by_connection or table.by_header:
            xfcc = _xfcc_lines(raw) if table.reads_xfcc else []
            for header in table.headers.values():
                named += [(header, value) for value in names.values_in(headers, header)]
            certificate = peer.certificate
        if len(authorization) <= 1 and not (xfcc or named or certificate):  # nearly always
            digest = _of_bearer(authorization[0]) if authorization else None
            return Credentials(authorization, xfcc, named, certificate, peer, digest)
        # The gate lets no NUL through in a header; the certificate comes last.
        from_proxy = bool(xfcc) and self._from_proxy(peer)
        trusted = bool(certificate) and self._trusts(peer.trust)
        shape = len(authorization), len(xfcc), len(named), from_proxy, trusted
        lines = (*authorization, *xfcc, *(b":".join(one) for one in named), certificate)
        digest = hashlib.sha256(b"%d %d %d %d %d\0" % shape + b"\0".join(lines)).digest()
        return Credentials(authorization, xfcc, named, certificate, peer, digest)

    def known(self, credentials: Credentials) -> CallerVerdict | None:
        """Return the verdict about some credentials if there is one that holds."""
        if credentials.digest is None:
            return _NOBODY
        verdict = self._verdicts.get(credentials.digest)
        if verdict is None or time.monotonic() >= verdict.until or self._clock() >= verdict.ends:
            return None
        self._count(verdict.caller, "known")
        return verdict

    async def verified(self, credentials: Credentials, client: str) -> CallerVerdict:
        """Return the verdict about credentials that are not known; `client` is who has sent them.

        Raises CallerUnverified for credentials that do not hold, CallersThrottled where too many of
        them did not, CallerKeysAway where the keys of the issuer are not there.
        """
        missing: set[str] = set()
        while True:
            began = time.thread_time()
            try:
                self._failures.refuse_more(client)
                caller, ends = self._verdict(credentials, missing)
            except _KeysWanted as wanted:
                if await wanted.source.asked(wanted.kid) is None:
                    missing.add(wanted.kid)
            except TrafficError as error:
                others = client == _SERVICES and error.reason in _OF_OTHERS
                if isinstance(error, CallerUnverified) and not others:
                    self._failures.note(client, time.thread_time() - began)
                self._count(None, _OUTCOMES[type(error)])
                raise
            else:
                verdict = CallerVerdict(caller, time.monotonic() + VERDICT_SECONDS, ends)
                if credentials.digest is not None and caller is not None:
                    self._verdicts.put(credentials.digest, verdict)
                self._count(caller, "verified")
                return verdict

    async def of_token(self, token: bytes) -> VerifiedCaller:
        """Return whose token it is that a service hands in; raises as `verified` does."""
        lines = [b"Bearer " + token]
        shown = Credentials(lines, [], [], b"", Peer(), _of_bearer(lines[0]))
        verdict = self.known(shown) or await self.verified(shown, _SERVICES)
        if verdict.caller is None:
            raise CallerUnverified("fits-no-caller")
        return verdict.caller

    def _count(self, caller: VerifiedCaller | None, outcome: str) -> None:
        key = "" if caller is None else caller.name, outcome
        self._counts[key] = self._counts.get(key, 0) + 1

    def _verdict(
        self, shown: Credentials, missing: set[str]
    ) -> tuple[VerifiedCaller | None, float]:
        """Return whose credentials are, and until when they hold."""
        found: dict[str, VerifiedCaller] = {}
        ends = float("inf")
        if shown.authorization and (bearer := _bearer(shown.authorization)) is not None:
            found["jwt"] = self._of_token(tokens.read(bearer), missing)
        certificate = self._certificate(shown)
        if certificate is not None:
            ends = certificate.ends
        self._of_connection(shown, (certificate, self._xfcc(shown)), found)
        for each in found.values():
            ends = min(ends, ends if each.expires is None else each.expires)
        if len({one.name for one in found.values()}) > 1 and not self._order:
            raise CallerUnverified("two-callers")
        order = (*self._order, *CREDENTIALS)
        caller = next((found[kind] for kind in order if kind in found), None)
        if caller is not None and ends != float("inf"):
            caller = replace(caller, expires=ends)
        return caller, ends

    # --- tokens -------------------------------------------------------------------------------

    def _of_token(self, token: tokens.SignedToken, missing: set[str]) -> VerifiedCaller:
        found = self._judged(token, missing)
        if isinstance(found, VerifiedCaller):
            return found
        try:
            raise found
        finally:  # its traceback leads to this frame, which must not lead back
            del found

    def _judged(
        self, token: tokens.SignedToken, missing: set[str]
    ) -> VerifiedCaller | CallerUnverified:
        """Return whose a token is, or why it is nobody's."""
        callers = [one for one in self._table.by_token if one.verifier.issuer == token.issuer]
        verdicts: dict[Verifier, float | CallerUnverified] = {}
        refusal = CallerUnverified("fits-no-caller" if callers else "other-issuer")
        for one in callers:
            verdict = verdicts.get(one.verifier)
            if verdict is None:
                verdict = verdicts[one.verifier] = self._verify(one.verifier, token, missing)
            if isinstance(verdict, CallerUnverified):
                refusal = verdict
            elif one.fits(token.claims):
                return _caller(one, token, verdict)
        if any(isinstance(one, float) for one in verdicts.values()):
            refusal = CallerUnverified("fits-no-caller")
        return refusal

    def _verify(
        self, verifier: Verifier, token: tokens.SignedToken, missing: set[str]
    ) -> float | CallerUnverified:
        """Return when a token ends, or why it does not hold for a verifier."""
        if token.alg not in verifier.algorithms:
            return CallerUnverified("other-algorithm")
        try:
            ends = token.ends(verifier.audience, self._clock())
            source = self._sources[verifier.keys]
            keys = source.known(token.kid)
            if keys is not None:
                keys.verify(token)
                return ends
        except CallerUnverified as error:
            return error.with_traceback(None)  # a frame of it knows the one that keeps it
        if source.asks and token.kid not in missing:
            raise _KeysWanted(source, token.kid)
        return CallerUnverified("unknown-key")

    # --- connections --------------------------------------------------------------------------

    def _of_connection(
        self, shown: Credentials, connected: Connected, found: dict[str, VerifiedCaller]
    ) -> None:
        """Add the callers of a connection by the kind of their credential, the first that fits.

        Raises CallerUnverified where no caller takes what Envoy has written.
        """
        refusals: list[CallerUnverified] = []
        taken = False
        for one in (*self._table.by_connection, *self._headers(shown)):
            try:
                caller = one.found(connected)
            except CallerUnverified as error:
                refusals.append(error)
                continue
            taken = taken or one.reads_xfcc
            if caller is not None:
                found.setdefault(one.kind, caller)
        if refusals and not taken:
            raise refusals[0]

    def _certificate(self, shown: Credentials) -> CertificateNames | None:
        """Return whose certificate the connection has; raise CallerUnverified for one of before."""
        if not shown.certificate:
            return None
        if not self._trusts(shown.peer.trust):
            raise CallerUnverified("certificate-of-former-trust")
        try:
            found = _names_of(shown.certificate)
        except ValueError:
            raise CallerUnverified("malformed-certificate") from None
        if self._clock() >= found.ends:
            raise CallerUnverified("certificate-expired")
        if self._revoked is not None and self._revoked.has(found):
            raise CallerUnverified("certificate-revoked")
        return found

    def _trusts(self, context: ssl.SSLContext | None) -> bool:
        """Return whether the handshake trusted whom the listener trusts now."""
        if context is None or self._tls is None:
            return False
        if context not in self._trust:
            ours, theirs = (
                sorted(one.get_ca_certs(binary_form=True)) for one in (self._tls, context)
            )
            self._trust[context] = ours == theirs
        return self._trust[context]

    def _from_proxy(self, peer: Peer) -> bool:
        return not peer.address or trusts(self._trusted, peer.address)

    def _xfcc(self, shown: Credentials) -> bytes | None:
        if not shown.xfcc:
            return None
        if not self._from_proxy(shown.peer):
            raise CallerUnverified("xfcc-from-elsewhere")
        if len(shown.xfcc) > 1:
            raise CallerUnverified("two-credentials")
        return shown.xfcc[0]

    def _headers(self, shown: Credentials) -> list[ConnectionCaller]:
        """Return the callers whose header is there with their value."""
        if len({name for name, _ in shown.named}) < len(shown.named):
            raise CallerUnverified("two-credentials")
        given = dict(shown.named)
        return [one for one in self._table.by_header if given.get(one.header) == one.value]

    def _earned(self, raw: RawRequest, peer: Peer) -> set[bytes]:
        """Return the headers that name callers over a connection."""
        shown = Credentials([], _xfcc_lines(raw), [], peer.certificate, peer, None)
        found: set[bytes] = set()
        with suppress(CallerUnverified):
            connected = self._certificate(shown), self._xfcc(shown)
            for one in self._table.by_header:
                with suppress(CallerUnverified):
                    if one.found(connected) is not None:
                        found.add(one.header)
        return found


_SERVICES: Final = "admin"
"""Whose failures are counted together, of tokens that services hand in."""
_OF_OTHERS: Final = frozenset({"other-issuer", "other-audience", "other-algorithm"})
"""Why a listener does not verify a token that a service hands in for any of them: no failure."""
_NOBODY: Final = CallerVerdict(None, float("inf"), float("inf"))
_OUTCOMES: Final[dict[type[TrafficError], str]] = {
    CallerUnverified: "refused",
    CallersThrottled: "throttled",
    CallerKeysAway: "keys-away",
}
_names_of: Final = lru_cache(maxsize=MOST_NAMES)(names_of)


def _of_bearer(line: bytes) -> bytes:
    """Return the digest of a token alone, however its line is spelled.

    None of other credentials begins so.
    """
    return hashlib.sha256(b"jwt\0%b %b" % _read(line)).digest()


def _bearer(lines: list[bytes]) -> bytes | None:
    """Return the token in Authorization; None where that is of another scheme (RFC 6750)."""
    if len(lines) > 1:
        raise CallerUnverified("two-credentials")
    scheme, token = _read(lines[0])
    if scheme == b"dpop":  # RFC 9449: no proof is read here
        raise CallerUnverified("sender-constrained")
    return token if scheme == b"bearer" else None


def _read(line: bytes) -> tuple[bytes, bytes]:
    """Return the scheme of a credential, in lower case, and what follows it."""
    scheme, *rest = line.split(None, 1) or [b""]
    return scheme.lower(), rest[0].strip(b" \t") if rest else b""


def _caller(one: TokenCaller, token: tokens.SignedToken, ends: float) -> VerifiedCaller:
    subject = token.claims.get("sub")
    return VerifiedCaller(
        one.name,
        one.verifier.issuer,
        subject if isinstance(subject, str) else "",
        texts_of(token.claims, one.tenants),
        ends,
        "" if one.tenants is None else one.tenants.one_of,
    )


def _xfcc_lines(raw: RawRequest) -> list[bytes]:
    """Return what stands in X-Forwarded-Client-Cert and its twins, all lines."""
    if _XFCC_FOLDED not in raw.names[_folded]:
        return []
    return [value for name, value in raw.headers if fold_header(name) == _XFCC_FOLDED]


def _folded(names: HeaderNames) -> frozenset[bytes]:
    """Return the common forms of the names of headers and of their twins."""
    return frozenset(map(fold_header, names.places))
