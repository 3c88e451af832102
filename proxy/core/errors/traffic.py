"""The root of all errors, and the errors that refuse a message on the traffic port."""

from __future__ import annotations

from typing import ClassVar, NamedTuple


class SealyardError(Exception):
    """The root of all errors that Sealyard raises on purpose."""

    code: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Sealyard failed and refused the message."
    cause: ClassVar[str] = "A defect in Sealyard itself."
    remedy: ClassVar[str] = "Report it, with the log line that has the request id."

    def __init__(self, reason: str = "", *, detail: str = "") -> None:
        """Keep the `reason` for the log and the `detail` for the client; neither holds a value."""
        super().__init__(reason or self.code)
        self.reason = reason or self.code
        self.detail = detail


class TrafficError(SealyardError):
    """An error that a client can meet; where it is 503, after `retry_after` seconds at least."""

    retry_after: int = 1


class InternalError(TrafficError):
    """Something happened that the code did not expect; the message was refused."""

    code = "internal-error"


class MessageError(TrafficError):
    """A message does not fit its rule: the client's fault on requests, else the backend's.

    `response_status` is what the client sees when the fault lies in the backend's response.
    """

    response_status: ClassVar[int] = 502


class MalformedRequest(TrafficError):
    """The request violates HTTP."""

    code = "malformed-request"
    status = 400
    title = "The request is malformed."
    cause = "The request line, a header or the framing violates RFC 9110 or RFC 9112."
    remedy = "Send a well-formed HTTP/1.1 request. The reason in the log names the faulty part."


class AmbiguousRequest(TrafficError):
    """Two parsers could read the request differently."""

    code = "ambiguous-request"
    status = 400
    title = "The request can be read in more than one way."
    cause = (
        "A backend might route the path differently from the rules, for example because of an"
        " encoded slash, an extension or path info after a script name. Or the path has rules, and"
        " the request overrides its method (in a header, the query or the form field `_method`) or"
        " is a form that no rule reads and that could do so. Or a binding name (tenant,"
        " conversation) occurs twice, in two spellings or in two places with different values, or"
        " cannot be separated from the text around it."
    )
    remedy = (
        "Send the path in its plain spelling, without encoded slashes, path parameters, extensions"
        " or unusual case, or name that exact path in a rule. If other methods of the path have"
        " rules, give POST a rule that reads its forms. Send each name once, spelled as in the"
        " rule. docs/explanation/names.md explains which spellings count as the same name."
    )


class InvalidBody(MessageError):
    """The body does not conform to its media type."""

    code = "invalid-body"
    status = 400
    title = "The body is malformed."
    cause = (
        "The body is not strict JSON (RFC 8259): it has invalid UTF-8, a byte order mark, NaN, a"
        " comment, a lone surrogate, more than 128 levels of nesting, or a selected member twice."
        " Or a form or query has a name or selected value that is not UTF-8, a selected name twice,"
        " or a name longer than 4 KiB. Or a multipart form could be read in more than one way. Or a"
        " selected header occurs twice or is not UTF-8. Or the compressed body (Content-Encoding)"
        " is truncated, damaged or followed by other bytes."
    )
    remedy = (
        "Send strict JSON in UTF-8, with each selected member once. Send forms in UTF-8, with each"
        " selected name once, and multipart forms as browsers do."
    )


class DigestMismatch(MessageError):
    """A body does not match its digest."""

    code = "digest-mismatch"
    status = 400
    title = "The body does not match its digest."
    cause = "Content-Digest, Repr-Digest or Content-MD5 is malformed or does not match the body."
    remedy = "Send the digest of the body as sent, after its Content-Encoding, or send none."


class MissingValue(MessageError):
    """A value that the rule requires is missing."""

    code = "missing-value"
    status = 400
    title = "A value that the rule requires is missing."
    cause = "A selected value or a binding name (tenant, conversation) is absent or null."
    remedy = "Send the value, or mark the selector as `optional` in the rule."


class NothingSealed(MessageError):
    """A message or record has none of the values that its rule seals, all of them optional."""

    code = "nothing-sealed"
    status = 400
    title = "No value of the message would be sealed."
    cause = (
        "The rule has `nothing: refuse`, and a message, record or list element has none of the"
        " values that the rule seals. Perhaps they have been renamed."
    )
    remedy = "Send one of the values that `detail` names, or set `nothing: pass` in the rule."


class ForbiddenValue(MessageError):
    """A value is present where the rule forbids it."""

    code = "forbidden-value"
    status = 400
    title = "A value is present that the rule forbids."
    cause = (
        "A name that the rule reads also came in a spelling that some backends take for the same"
        " name, in a second place (query, cookie, body), or on a way around the name (`__proto__`)."
    )
    remedy = (
        "Leave the value out, or change the rule. docs/explanation/names.md explains which"
        " spellings count as the same name, and what `elsewhere: allow`, `each: true` and"
        " `case_variants: allow` permit."
    )


class UnlistedName(MessageError):
    """A request has a name, or a value at a place, that its rule does not list.

    `path` leads to it, from the root of the body or, `in_query`, of the query; it is empty where no
    name is known. Its names are the client's: only `place_names` spells them for a log.
    """

    code = "unlisted-name"
    status = 400
    title = "The request has a name that its rule does not list."
    cause = (
        "The rule seals something, and the request has a member, form field, part or query name"
        " that the rule neither seals nor opens nor reads nor lists under `plain` or `query`. Or an"
        " object, a list or a text that is JSON came where a plain scalar is listed."
    )
    remedy = (
        "Leave it out, or list it in the rule: under `encrypt` if it is sensitive, else under"
        " `plain` or `query`. With `others: seal` unlisted values are sealed instead."
    )

    def __init__(
        self,
        reason: str = "",
        *,
        detail: str = "",
        path: tuple[str | int, ...] = (),
        in_query: bool = False,
    ) -> None:
        """Keep as well where the name stands."""
        super().__init__(reason, detail=detail)
        self.path = path
        self.in_query = in_query


class Unopened(NamedTuple):
    """A token that did not open: why, for the log, and the id of the session that it names."""

    reason: str
    sid: bytes


class SearchTooBroad(MessageError):
    """A search has no word that can be looked for, or too many."""

    code = "search-too-broad"
    status = 400
    title = "The search is too broad."
    cause = "It has no word, only words that are too common to be indexed, or too many of them."
    remedy = "Search for one to eight words, of which one is not common."


class SearchNotSupported(MessageError):
    """A search is no list of words, or no text."""

    code = "search-not-supported"
    status = 400
    title = "Sealed values cannot be searched like this."
    cause = (
        "The search has a wildcard, a phrase, an operator or an expression, is no string, or is in"
        " a script without breaks between words."
    )
    remedy = (
        "Search for whole words. docs/how-to/search-in-sealed-messages.md says what can be found."
    )


class IndexIncomplete(TrafficError):
    """What is searched for may be in values that have no tags yet."""

    code = "index-incomplete"
    status = 503
    title = "The index is not complete, so that the search would miss values."
    cause = "There is no index secret, or stored values are still to be indexed."
    remedy = "Finish `sealyard migrate index`, or set `partial: true` in `search`."


class OpenFailed(MessageError):
    """A sealed value does not open. All causes get one answer, which is no oracle."""

    code = "open-failed"
    status = 400
    title = "A sealed value does not open."
    cause = (
        "A token is damaged, is expired or revoked, belongs to another tenant, conversation or"
        " field, or was sealed under a key that is not in the keyring. Or the value is not sealed"
        " at all."
    )
    remedy = "Find the request id in the log. The reason there says which of the causes it was."
    unopened: tuple[Unopened, ...] = ()
    """The tokens of the message that did not open."""


class RejectedByRule(TrafficError):
    """The configuration rejects the request."""

    code = "rejected-by-rule"
    status = 403
    title = "The configuration rejects this route."
    cause = "The rule has `reject`, or no rule matches and the listener has `unmatched: reject`."
    remedy = (
        "Run `sealyard explain METHOD PATH` to see which rule matched. Change it if it is wrong."
    )
    rule: str | None = None
    """The name of the rule that rejects, for the log."""


class AskRefused(TrafficError):
    """The backend does not tell the caller the name that the request lacks."""

    code = "ask-refused"
    status = 403
    title = "The backend does not tell the caller what the message belongs to."
    cause = (
        "The rule asks the backend (`ask`) for a name that the request lacks, with the headers of"
        " the request, and the backend answered with another status than 2xx."
    )
    remedy = "Send credentials with which the backend answers what the rule asks."


class AskNotFound(AskRefused):
    """What the request is for does not exist, as far as the backend tells the caller."""

    code = "ask-not-found"
    status = 404
    title = "What the message is for does not exist."
    cause = "The rule asks the backend (`ask`) for a name that the request lacks: 404 or 410."
    remedy = "Send the id of something that exists and that the caller may read."


class MethodNotAllowed(TrafficError):
    """The method is never forwarded, or not with what the request holds."""

    code = "method-not-allowed"
    status = 405
    title = "The method is not allowed."
    cause = (
        "Sealyard never forwards CONNECT, TRACE and methods that it does not know. Or rules take"
        " requests to this path with other methods, and this one has a body, or a query name that"
        " those rules select or read."
    )
    remedy = (
        "Use a method that `Allow` names. If the backend takes this one, give it a rule that names"
        " this path and this method."
    )
    allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    """The methods that the answer names (RFC 9110 section 15.5.6 requires it)."""


class SlowRequest(TrafficError):
    """The client took too long to send its request."""

    code = "slow-request"
    status = 408
    title = "The request took too long to arrive."
    cause = "The head or the body did not arrive within the `timeouts` of the listener."
    remedy = "Send faster, or raise `timeouts` of the listener."


class BodyTooLarge(MessageError):
    """A body exceeds a limit."""

    code = "body-too-large"
    status = 413
    title = "The body is too large."
    cause = (
        "A body that a rule must read is larger than `limits.body` (default: 16 MiB); decompresses"
        " to more than that or to more than a hundred times its compressed size; has more than a"
        " million JSON values, about 40,000 different names with escapes or beyond ASCII, 30,000"
        " selected values, or 10,000 to be sealed (`max_values`); is a form with more than 10,000"
        " pairs, 1,000 parts or 1 MiB of names; has more than 64 characters of binding names for"
        " each of its bytes; is to be sealed as one token and is larger than 64 KiB; or is a sealed"
        " stream or multipart form and larger than `limits.stream`."
    )
    remedy = "Send less, or raise the limit on the listener."


class UnsupportedBody(MessageError):
    """A rule needs the body, and Sealyard cannot read it."""

    code = "unsupported-body"
    status = 415
    title = "The rule cannot read a body of this type."
    cause = (
        "The Content-Type fits no block of the rule. Or the Content-Encoding is not gzip, deflate"
        " or (if their packages are installed) br or zstd. Or a multipart form has a boundary or a"
        " part that parsers read differently: encoded, nested or with a charset."
    )
    remedy = (
        "Send JSON as application/json, and forms as application/x-www-form-urlencoded or"
        " multipart/form-data, with at most one Content-Encoding. Or add a block for this type to"
        " the rule."
    )


class ExpectationFailed(TrafficError):
    """The request has an expectation other than 100-continue."""

    code = "expectation-failed"
    status = 417
    title = "The expectation cannot be met."
    cause = "The Expect header has a value other than `100-continue`."
    remedy = "Leave the header out."


class ValueTooLong(MessageError):
    """The token of a value would be longer than the backend allows."""

    code = "value-too-long"
    status = 422
    title = "A value would be too long once sealed."
    cause = "The token of the value would exceed the `max_chars` of its field."
    remedy = "Shorten the value to the number of bytes that `detail` names, or use the short form."


class UnfitValue(MessageError):
    """A value does not satisfy the constraints of its rule."""

    code = "unfit-value"
    status = 422
    title = "A value does not satisfy the constraints of its field."
    cause = (
        "The rule has `string`, `min_chars`, `not_blank` or `trim` for the field, and the value is"
        " a number, a list, an object or a file, has fewer characters, or is blank; or it has"
        " `form: base64`, and the value is not base64 with padding. Sealyard checks it, because the"
        " backend cannot check a sealed value."
    )
    remedy = "Send a string as `detail` names it."


class NotIndexable(MessageError):
    """A value cannot be made searchable, as its field demands."""

    code = "not-indexable"
    status = 400
    title = "A value cannot be indexed."
    cause = (
        "The field has an `index`, and the value has more distinct words than `most` allows, is in"
        " a script that has no breaks between words, or has nothing that could be searched."
        " Sealyard refuses it, because a message that no search finds would seem lost."
    )
    remedy = "Send a shorter text, or take the `index` off the field."


class HeadTooLarge(TrafficError):
    """The request head exceeds a limit."""

    code = "head-too-large"
    status = 431
    title = "The request head is too large."
    cause = (
        "The request line, a header line or the number of headers exceeds a limit of the listener."
    )
    remedy = "Send fewer or shorter headers."


class UnsupportedTransferCoding(TrafficError):
    """The request has a transfer coding other than chunked."""

    code = "unsupported-transfer-coding"
    status = 501
    title = "The transfer coding is not supported."
    cause = "Transfer-Encoding has a value other than `chunked`."
    remedy = "Send the body chunked or with Content-Length."


class UpstreamFailed(TrafficError):
    """The backend could not be reached, or its response was truncated or malformed."""

    code = "upstream-failed"
    status = 502
    title = "The backend gave no usable response."
    cause = (
        "The backend refused the connection or closed it too early, or its response violates HTTP."
    )
    remedy = (
        "Check that the backend runs at the `upstream` of the listener. The reason in the log names"
        " the step that failed."
    )


class KeyUnavailable(TrafficError):
    """No session key can be had at the moment."""

    code = "key-unavailable"
    status = 503
    title = "No key is available for the message."
    cause = "The keyring has no primary KEK, or the store does not respond."
    remedy = "Run `sealyard doctor` and `sealyard keys verify` to find the cause, then try again."


class KeysFull(KeyUnavailable):
    """The store is full of keys that still open something; none of them may be evicted."""

    code = "keys-full"
    title = "The store has no room for another key."
    cause = (
        "The store holds its maximum of ephemeral session keys or key packages, and all of them"
        " are still in use. Conversations without a key get none until others have expired."
    )
    remedy = (
        "Wait until keys have expired (`ttl` and `grace`), find the client that invents"
        " conversations, or keep the keys in Redis or SQLite."
    )


class Busy(TrafficError):
    """Too many wait for the backend, too many clients are connected, or Sealyard is draining."""

    code = "busy"
    status = 503
    title = "Sealyard is busy."
    cause = (
        "The reason in the log says which limit is reached: of the backend, of this process, of"
        " connected clients or of file descriptors (docs/how-to/operate.md). Or it is draining."
    )
    remedy = (
        "Try again after the time in `Retry-After`. List load balancers in `trusted_proxies`: their"
        " addresses are not limited as one client."
    )


class UpstreamResting(TrafficError):
    """The backend has failed again and again, and is left alone for a moment."""

    code = "upstream-resting"
    status = 503
    title = "The backend has failed and is left alone for a moment."
    cause = "`limits.failures` or `limits.gateway_errors` are reached: its circuit breaker is open."
    remedy = "Try again after the time in `Retry-After`."


class LoopDetected(TrafficError):
    """The request has already passed this listener."""

    code = "loop-detected"
    status = 508
    title = "The request has come back to Sealyard."
    cause = (
        "The Via header names this listener: the backend, or a server that it calls, sends the"
        " request back to it."
    )
    remedy = "Check the `upstream` of the listener and the addresses that the backend calls."


class UpstreamTimeout(TrafficError):
    """The backend took too long."""

    code = "upstream-timeout"
    status = 504
    title = "The backend took too long."
    cause = "Connecting or the response took longer than the `timeouts` of the listener."
    remedy = "Make the backend faster, or raise `timeouts.response`."


def traffic_errors() -> tuple[type[TrafficError], ...]:
    """Return every error that a client of the traffic port can meet, ordered by status and code."""
    found: list[type[TrafficError]] = []
    waiting: list[type[TrafficError]] = [TrafficError]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if "code" in vars(kind):
            found.append(kind)
    return tuple(sorted(found, key=lambda kind: (kind.status, kind.code)))
