"""What `callers` of a listener say, ready to be compared with credentials. It has no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ...config.settings.callers import (
    CallerCertificate,
    CallerHeader,
    CallerJwt,
    CallerKeys,
    CallerSettings,
    CallerXfcc,
)
from ...core.callers import VerifiedCaller
from ...core.errors import CallerUnverified
from ...core.expressions.name_readings import fold_header
from ...process.certificates import CertificateNames
from .identity import CertificatePattern, elements, names_of
from .tenants import Tenants
from .token import has


class Verifier(NamedTuple):
    """What verifies a token: whose it is, for whom, and by what."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    keys: CallerKeys


@dataclass(frozen=True, slots=True)
class TokenCaller:
    """A caller known by a token: the verifier, and the claims that tell it from others."""

    name: str
    verifier: Verifier
    claims: tuple[tuple[str, str], ...]
    tenants: Tenants | None

    def fits(self, claims: Mapping[str, object]) -> bool:
        """Return whether verified claims are those of the caller."""
        return has(claims, self.claims)


class XfccReader:
    """Which certificates fit that Envoy tells of."""

    __slots__ = ("_by", "_hops", "_identity", "_through")

    def __init__(self, settings: CallerXfcc) -> None:
        self._identity = CertificatePattern(settings.identity)
        self._by = settings.by
        self._hops = settings.hops
        self._through = (
            None if settings.through is None else CertificatePattern(("uri", settings.through))
        )

    def found(self, value: bytes) -> str | None:
        """Return the name that fits, None where none does.

        Raises CallerUnverified where it was not written by the Envoy before us, or where what
        stands before its element was not written by a gateway that it tells of.
        """
        told = elements(value)
        if told[-1].get("by") != frozenset({self._by}):
            raise CallerUnverified("xfcc-by-another")
        if len(told) < self._hops:
            raise CallerUnverified("xfcc-without-gateway")
        for back in range(1, self._hops):
            writer = names_of(told[-back])
            by_gateway = self._through is not None and self._through.found(writer) is not None
            if not by_gateway or told[-back - 1].get("by") != writer["uri"]:
                raise CallerUnverified("xfcc-without-gateway")
        return self._identity.found(names_of(told[-self._hops]))


Connected = tuple[CertificateNames | None, bytes | None]
"""Of a connection: the certificate that it was verified by, and what Envoy has written."""


class ConnectionCaller:
    """A caller known by its connection, or by a header over it: which one, and the value."""

    __slots__ = ("_by", "header", "kind", "name", "value")

    def __init__(self, settings: CallerSettings) -> None:
        by = settings.by
        self.name: Final = settings.name
        self.header = self.value = b""
        self.kind = "certificate" if isinstance(by, CallerCertificate) else "xfcc"
        if isinstance(by, CallerHeader):
            assert settings.over is not None  # noqa: S101 - the settings have it
            self.kind = "header"
            self.header, self.value = by.name.lower().encode("ascii"), by.equals.encode()
            by = settings.over.by
        assert not isinstance(by, CallerJwt)  # noqa: S101 - as above
        self._by: CertificatePattern | XfccReader = (
            XfccReader(by) if isinstance(by, CallerXfcc) else CertificatePattern(by.identity)
        )

    @property
    def reads_xfcc(self) -> bool:
        """Whether it reads what Envoy has written."""
        return isinstance(self._by, XfccReader)

    def found(self, connected: Connected) -> VerifiedCaller | None:
        """Return the caller at a connection, None where it is another's."""
        certificate, xfcc = connected
        if isinstance(self._by, XfccReader):
            name = None if xfcc is None else self._by.found(xfcc)
            issuer, ends = "xfcc", None
        elif certificate is not None:
            name = self._by.found(certificate.names)
            issuer, ends = certificate.issuer, certificate.ends
        else:
            return None
        return None if name is None else VerifiedCaller(self.name, issuer, name, {}, ends)


class CallerTable:
    """The callers of a listener by the kind of their credential, in order.

    Raises UnfitEnvironment where a file that they need cannot be used.
    """

    __slots__ = ("by_connection", "by_header", "by_token", "headers", "reads_xfcc")

    def __init__(self, callers: Sequence[CallerSettings]) -> None:
        """Read what the settings name."""
        self.by_token: Final = [
            TokenCaller(
                one.name,
                Verifier(by.issuer, by.audience, frozenset(by.algorithms), by.jwks),
                by.claims,
                None if by.tenants is None else Tenants(by.tenants),
            )
            for one in callers
            if isinstance(by := one.by, CallerJwt)
        ]
        others = [ConnectionCaller(one) for one in callers if not isinstance(one.by, CallerJwt)]
        self.by_connection: Final = [one for one in others if one.kind != "header"]
        self.by_header: Final = [one for one in others if one.kind == "header"]
        self.headers: Final = {fold_header(one.header): one.header for one in self.by_header}
        self.reads_xfcc: Final = any(one.reads_xfcc for one in others)
