"""Authentication of a caller: bearer token, client certificate, or Kubernetes service account."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs
from aiohttp.web_request import Request

from ...config.settings import AdminClient, AdminSettings
from .. import problem
from ..problem import AdminError
from .tokens import Caller, ReviewFailed, Tokens, read_tokens

if TYPE_CHECKING:
    from ...process.certificates import RevocationLists
    from .token_review import TokenReviews

_SCHEME: Final = b"bearer "


@dataclass(frozen=True, slots=True)
class Access:
    """All credentials that are accepted, at one state of the configuration and its files."""

    tokens: Tokens
    clients: tuple[AdminClient, ...] = ()
    reviews: TokenReviews | None = None
    clock: Callable[[], float] = time.time
    revoked: RevocationLists | None = None

    async def caller(self, request: Request, *, patient: bool) -> Caller | AdminError:
        """Return who sent the request, or the error to refuse it with.

        Unless `patient`, the API server is not asked: only tokens that it reviewed lately pass.
        """
        shown = request.headers.getall(hdrs.AUTHORIZATION, [])
        if not shown:
            return self._by_certificate(request) or problem.UNAUTHORIZED
        token = _bearer(shown)
        if token is None:
            return problem.UNAUTHORIZED
        caller = self.tokens.caller(token, self.clock())
        if caller is None and self.reviews is not None:
            try:
                review = self.reviews.caller(token) if patient else None
                caller = self.reviews.known(token) if review is None else await review
            except ReviewFailed:
                return problem.NOT_REVIEWED
        return caller or problem.UNAUTHORIZED

    def _by_certificate(self, request: Request) -> Caller | None:
        transport = request.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        if not self.clients or not isinstance(tls, ssl.SSLObject):
            return None
        from . import certificates  # noqa: PLC0415 - see read_access

        certificate = tls.getpeercert(binary_form=True)
        if certificate is None:
            return None
        return certificates.caller(certificate, self.clients, self.clock(), self.revoked)


def read_access(settings: AdminSettings, environ: Mapping[str, str]) -> Access:
    """Return the accepted credentials, read from the files now. It blocks on file access.

    Raises UnfitEnvironment, naming the file, where one cannot be used.
    """
    tokens = read_tokens(settings.tokens, environ)
    reviews, revoked = None, None
    # X.509 takes a megabyte, a client of the API server a tenth of one, so they are imported only
    # where the settings need them: now, not while a caller waits.
    if settings.kubernetes is not None:
        from .token_review import TokenReviews  # noqa: PLC0415 - see above

        reviews = TokenReviews(settings.kubernetes, time.time)
    if settings.clients:
        from ...process.certificates import (  # noqa: PLC0415 - see above
            RevocationLists,
            get_ready,
        )
        from . import certificates  # noqa: F401, PLC0415 - see above

        get_ready()
        lists = None if settings.tls is None else settings.tls.client_crl
        revoked = None if lists is None else RevocationLists(lists)
    return Access(tokens, settings.clients, reviews, revoked=revoked)


def _bearer(shown: Sequence[str]) -> bytes | None:
    """Return the token of the only Authorization header (RFC 6750), None for any other form."""
    written = shown[0].encode(errors="surrogateescape")
    if len(shown) != 1 or written[: len(_SCHEME)].lower() != _SCHEME:
        return None
    return written[len(_SCHEME) :].strip()
