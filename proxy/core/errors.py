"""Every deliberate error: a code, a status, one sentence, its cause and its remedy.

The table of errors in the documentation is made from these classes, and the one place that turns
errors into responses reads nothing else. An error carries a *reason* for the log (a short code,
never a value) and, where it helps, a *detail* for the client (names and sizes, never a value).
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple


class SealyardError(Exception):
    """The root of all errors that Sealyard raises on purpose."""

    code: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Sealyard failed and refused the message."
    cause: ClassVar[str] = "An error in Sealyard itself."
    remedy: ClassVar[str] = "Report it, with the request id and the log line of that id."

    def __init__(self, reason: str = "", *, detail: str = "") -> None:
        """Keep the `reason` for the log and the `detail` for the client; neither holds a value."""
        super().__init__(reason or self.code)
        self.reason = reason or self.code
        self.detail = detail


# --- refused on the traffic port -----------------------------------------------------------------


class TrafficError(SealyardError):
    """An error that a client of the traffic port can meet."""


class InternalError(TrafficError):
    """Something happened that the code did not expect; the message was refused."""

    code = "internal-error"


class MessageError(TrafficError):
    """A message does not fit its rule: the client's fault on requests, else the backend's.

    `response_status` is what the client sees when the fault lies in the backend's response.
    """

    response_status: ClassVar[int] = 502


class MalformedRequest(TrafficError):
    """The request breaks HTTP."""

    code = "malformed-request"
    status = 400
    title = "The request is malformed."
    cause = "The request line, a header or the framing breaks RFC 9110 or RFC 9112."
    remedy = "Send a well-formed HTTP/1.1 request; the log's reason names the part."


class AmbiguousRequest(TrafficError):
    """Two readers could take the request for two different things."""

    code = "ambiguous-request"
    status = 400
    title = "The request can be read in more than one way."
    cause = (
        "The path is spelled so that a backend might route it otherwise than the rules do, by its"
        " extension or behind a script's name too; or on a"
        " path with rules the request asks for another method, in a header, in the query or in a"
        " form's field `_method`, or is a form that no rule reads and that might; or a name that"
        " binds its values (tenant, conversation) stands there twice, in two spellings or in two"
        " places with different texts, or cannot be told from what stands beside it."
    )
    remedy = (
        "Send the plain spelling of the path: no encoded slashes, parameters, extensions or odd"
        " cases; or name that very path in a rule. Give"
        " POST a rule that reads its forms where other methods of the path have one. Send each name"
        " once, as the rule spells it; docs/explanation/names.md tells what counts as the same."
    )


class InvalidBody(MessageError):
    """The body is not what its media type says."""

    code = "invalid-body"
    status = 400
    title = "The body is malformed."
    cause = (
        "The body is not strict JSON (RFC 8259): bad UTF-8, a byte order mark, NaN, a comment, a"
        " lone surrogate, nesting beyond 128 levels, or a selected member that stands twice; or a"
        " form or query has a name or a selected value that is not UTF-8, or a selected name twice,"
        " or a name of more than 4 KiB;"
        " or a form in parts could be read in more than one way;"
        " or a selected header stands twice or is not UTF-8; or its"
        " Content-Encoding is cut, damaged or followed by other bytes."
    )
    remedy = (
        "Send strict JSON in UTF-8, each selected member once; forms likewise, in parts as browsers"
        " send them."
    )


class DigestMismatch(MessageError):
    """A body that is not the one that its digest tells of."""

    code = "digest-mismatch"
    status = 400
    title = "The body does not fit its digest."
    cause = "Content-Digest, Repr-Digest or Content-MD5 is malformed or tells of another body."
    remedy = "Send the digest of the body as it is sent, after its Content-Encoding, or none."


class MissingValue(MessageError):
    """A value that the rule needs is not there."""

    code = "missing-value"
    status = 400
    title = "A value that the rule needs is missing."
    cause = "A selected value or a name that binds it (tenant, conversation) is absent or null."
    remedy = "Send the value, or mark the selector `optional` in the rule."


class NothingSealed(MessageError):
    """A message or record with none of the values that its rule seals, all of them optional."""

    code = "nothing-sealed"
    status = 400
    title = "Nothing of the message would be sealed."
    cause = (
        "The rule says `nothing: refuse`, and a message, record or element of a list has none of"
        " the values that it seals; maybe they have other names now."
    )
    remedy = "Send one of the values that the answer names, or say `nothing: pass` in the rule."


class ForbiddenValue(MessageError):
    """A value stands where the rule says `absent`."""

    code = "forbidden-value"
    status = 400
    title = "A value is present that the rule forbids."
    cause = (
        "The rule lists the selector under `absent`; or a name that it reads came in a spelling"
        " that some backends take for it, or in a second place (query, cookie, body), or in a way"
        " that leads to it by another name (`__proto__`); or the rule says `only`, and a member"
        " that it does not list stands beside the sealed ones; or a name reads as a joined one,"
        " such as 5:alice3:bob, which the keyring does not set apart yet."
    )
    remedy = (
        "Leave the value out, or change the rule: docs/explanation/names.md tells which names are"
        " one, and what `query: allow`, `each: true` and `case_variants: allow` let through."
        " For joined names, run `sealyard keys upgrade` (docs/how-to/upgrade.md)."
    )


class Unopened(NamedTuple):
    """A token that did not open: why, for the log, and the id of the session that it names."""

    reason: str
    sid: bytes


class OpenFailed(MessageError):
    """A sealed value does not open. One answer for every cause, so that nobody can probe."""

    code = "open-failed"
    status = 400
    title = "A sealed value does not open."
    cause = (
        "A token is damaged, belongs to another tenant, conversation or field, is expired or"
        " revoked, was sealed under a key that is not in the keyring, or the value is not sealed"
        " at all."
    )
    remedy = "Look up the request id in the log: its reason tells the cases apart."
    unopened: tuple[Unopened, ...] = ()
    """The tokens of the message that did not open."""


class RejectedByRule(TrafficError):
    """The configuration says no."""

    code = "rejected-by-rule"
    status = 403
    title = "The route is closed by configuration."
    cause = "The rule says `reject`, or no rule matches and the listener says `unmatched: reject`."
    remedy = "`sealyard explain METHOD PATH` tells which rule decided; change it if that is wrong."
    rule: str | None = None
    """The name of the rule that says it, for the log."""


class MethodNotAllowed(TrafficError):
    """A method that is never forwarded."""

    code = "method-not-allowed"
    status = 405
    title = "The method is not allowed."
    cause = "CONNECT and TRACE are never forwarded."
    remedy = "Use another method."


class SlowRequest(TrafficError):
    """The client took too long to send its request."""

    code = "slow-request"
    status = 408
    title = "The request took too long to arrive."
    cause = "The head or the body did not arrive within the listener's timeouts."
    remedy = "Send faster, or raise `timeouts` on the listener."


class BodyTooLarge(MessageError):
    """A body above the limit of buffered bodies."""

    code = "body-too-large"
    status = 413
    title = "The body is too large."
    cause = (
        "A body that a rule must read is larger than `limits.body` (16 MiB unless set), unfolds"
        " beyond that or beyond a hundred times its coded size, holds more than a million JSON"
        " values, 10,000 pairs, 1 MiB of names or 1,000 parts of a form, some 40,000"
        " different names beyond ASCII or with escapes, or 30,000 values that the rule selects,"
        " binds its values to more than 64 characters of names for each of its bytes,"
        " must be sealed as a token and is above 64 KiB, or passes as a frame or in parts"
        " and is above `limits.frame`."
    )
    remedy = "Send less, or raise the limit on the listener."


class UnsupportedBody(MessageError):
    """A body that the rule needs and Sealyard cannot read."""

    code = "unsupported-body"
    status = 415
    title = "The rule cannot read a body of this type."
    cause = (
        "The Content-Type fits no block of the rule, or the Content-Encoding is none of gzip,"
        " deflate and, where their packages are installed, br and zstd; or a form in parts has a"
        " boundary or a part in a spelling that not all read alike: coded, nested, with a charset."
    )
    remedy = (
        "Send JSON as application/json and forms as application/x-www-form-urlencoded or"
        " multipart/form-data, coded once at most, or add a block to the rule."
    )


class ExpectationFailed(TrafficError):
    """An expectation other than 100-continue."""

    code = "expectation-failed"
    status = 417
    title = "The expectation cannot be met."
    cause = "The Expect header holds something other than `100-continue`."
    remedy = "Leave the header out."


class ValueTooLong(MessageError):
    """A value whose token would be longer than the backend allows."""

    code = "value-too-long"
    status = 422
    title = "A value would be too long once sealed."
    cause = "The sealed value would exceed the field's `max_chars`."
    remedy = (
        "Shorten the value to the number of bytes that the answer names, or use the short form."
    )


class UnfitValue(MessageError):
    """A value that is not the string that the rule asks for."""

    code = "unfit-value"
    status = 422
    title = "A value is not what the backend takes."
    cause = (
        "The rule says `string` or `min_chars` of the field, and the value is a number, a list,"
        " an object or a file, or has fewer characters. Once sealed, the backend could not tell."
    )
    remedy = "Send a string of at least the number of characters that the answer names."


class HeadTooLarge(TrafficError):
    """A request head above the limits."""

    code = "head-too-large"
    status = 431
    title = "The request head is too large."
    cause = "A header line, their number or the request line exceeds the listener's limits."
    remedy = "Send fewer or shorter headers."


class UnsupportedTransferCoding(TrafficError):
    """A transfer coding other than chunked."""

    code = "unsupported-transfer-coding"
    status = 501
    title = "The transfer coding is not supported."
    cause = "Transfer-Encoding holds something other than `chunked`."
    remedy = "Send the body chunked or with Content-Length."


class UpstreamFailed(TrafficError):
    """The backend could not be reached, or its response was cut or malformed."""

    code = "upstream-failed"
    status = 502
    title = "The backend gave no usable response."
    cause = "The connection was refused or cut, or the response breaks HTTP."
    remedy = (
        "Check that the backend runs at the listener's `upstream`; the log's reason names the step."
    )


class KeyUnavailable(TrafficError):
    """No session key is to be had right now."""

    code = "key-unavailable"
    status = 503
    title = "No key is available for the message."
    cause = "The keyring holds no primary KEK, or the store does not answer."
    remedy = "`sealyard doctor` and `sealyard keys verify` tell what is wrong; then try again."


class KeysFull(KeyUnavailable):
    """The store is full of keys that still open something: a new one would cost another its own."""

    code = "keys-full"
    title = "No room is left for another key."
    cause = (
        "The store holds as many ephemeral session keys or key packages as it may, all of them"
        " still in use: conversations that have none get none until some have ended."
    )
    remedy = (
        "Wait until keys have ended (`ttl` and `grace`), find out who makes up conversations, or"
        " keep the keys in Redis or SQLite."
    )


class Busy(TrafficError):
    """All connections to the backend are in use and the queue is full, or Sealyard is draining."""

    code = "busy"
    status = 503
    title = "Too many requests are waiting for the backend."
    cause = "The pool of upstream connections and its queue are full, or Sealyard is draining."
    remedy = "Try again later; raise `limits.connections` if the backend can take more."


class LoopDetected(TrafficError):
    """A request that has come back to where it was."""

    code = "loop-detected"
    status = 508
    title = "The request has come back to Sealyard."
    cause = "The Via header names the listener itself: the backend, or who it calls, points back."
    remedy = "Look at the listener's `upstream` and at the addresses that the backend calls."


class UpstreamTimeout(TrafficError):
    """The backend took too long."""

    code = "upstream-timeout"
    status = 504
    title = "The backend took too long."
    cause = "Connecting or the response took longer than the listener's `timeouts`."
    remedy = "Make the backend faster, or raise `timeouts.response`."


# --- met by operators, never on the traffic port -------------------------------------------------


class OperatorError(SealyardError):
    """An error in what the operator gave: files, settings, arguments."""

    code = "operator-error"
    title = "Sealyard cannot work with what it was given."


class ConfigurationError(OperatorError):
    """The configuration has mistakes; `problems` holds all of them."""

    code = "configuration-error"
    title = "The configuration has mistakes."

    def __init__(self, problems: tuple[str, ...]) -> None:
        """Keep every problem as one line: `file:line:column path message`."""
        super().__init__("configuration-error", detail="\n".join(problems))
        self.problems = problems


class RestartNeeded(ConfigurationError):
    """A new configuration is fine and differs in what only a new process can take."""

    code = "restart-needed"
    title = "The change needs a restart."


class InvalidExpression(OperatorError):
    """A selector, source, pattern or media type of the configuration that does not parse."""

    code = "invalid-expression"
    title = "An expression of the configuration does not parse."

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Say what is wrong with the expression, and where it helps what to write instead."""
        super().__init__(message, detail=hint)
        self.message = message
        self.hint = hint


class KeyringError(OperatorError):
    """The keyring cannot be opened, read, written or used as asked."""

    code = "keyring-error"
    title = "The keyring cannot be used."


class ParticipantError(OperatorError):
    """A participant's key cannot be taken, found, opened or changed as asked."""

    code = "participant-error"
    title = "The participant's key cannot be used."


class UnknownParticipantKey(ParticipantError):
    """A participant has no key of that id, or not the part of it that is asked for."""

    code = "unknown-participant-key"
    title = "There is no such key."


class ParticipantsUnavailable(ParticipantError):
    """The store that keeps participants' keys does not answer."""

    code = "participants-unavailable"
    title = "Participants cannot be looked up now."


class KeyMakerBusy(ParticipantError):
    """So many key pairs are being made that another one would wait for too long."""

    code = "key-maker-busy"
    title = "Too many key pairs are being made; try again."


class NotErasable(OperatorError):
    """Durable session keys are derived: only the KEK that they come from can be destroyed."""

    code = "not-erasable"
    title = "Durable session keys cannot be erased; destroy their KEK, or use ephemeral ones."


class UnfitEnvironment(OperatorError):
    """The machine lacks something that Sealyard needs."""

    code = "environment-error"
    title = "The environment lacks something that Sealyard needs."


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
