"""Errors of who sends a message, and of what that caller may do."""

from __future__ import annotations

from .traffic import MessageError, TrafficError


class CallerUnverified(TrafficError):
    """A credential that the listener verifies is there, and does not hold."""

    code = "caller-unverified"
    status = 401
    title = "The credential of the request is not valid."
    cause = (
        "A token, client certificate or header that names a caller is not valid for this listener:"
        " expired, of another issuer or audience, not signed by a key of the issuer, or of no"
        " caller in `callers`. The reason in the log says which."
    )
    remedy = (
        "Get a new token for this audience and send it alone. If it should be valid, compare it"
        " with `callers` of the listener (docs/how-to/callers.md)."
    )


class CallersThrottled(TrafficError):
    """A client has sent too many credentials that do not hold, or all clients together have."""

    code = "too-many-credentials"
    status = 429
    title = "Too many credentials were not valid."
    cause = (
        "This client, or all of them together, sent so many credentials that do not hold that no"
        " further one is verified for a moment. Credentials that are known are served."
    )
    remedy = "Send valid credentials, and try again after a few seconds."


class CallerOpensLimited(TrafficError):
    """A caller has opened as many values as it may in a minute."""

    code = "caller-opens-limited"
    status = 429
    title = "The caller has opened as many values as it may for now."
    cause = (
        "The subject of the credential has opened as many values as `opens_per_minute` of its"
        " caller allows. The audit log tells which."
    )
    remedy = (
        "Try again after a minute. If it needs to open more, raise `opens_per_minute`; if it is"
        " not expected to, look at what it has read: `sealyard audit show --caller`."
    )
    retry_after = 30


class CallerKeysAway(TrafficError):
    """The keys of an issuer are not there, so that no credential of it can be verified."""

    code = "caller-keys-away"
    status = 503
    title = "Credentials cannot be verified at present."
    cause = (
        "The JWK Set of the issuer could not be fetched, and there is none that is recent enough."
    )
    remedy = "Check that Sealyard reaches the address in `jwks`, and that its `ca` is right."
    retry_after = 5


class CallerMayNotSearch(TrafficError):
    """The caller may not read the values that it searches."""

    code = "caller-may-not-search"
    status = 403
    title = "The caller may not search this field."
    cause = "Only who gets the values of a field may search it."
    remedy = "Grant the caller the outcome `value` for the field, or search as another caller."


class CallerMayNotOpen(MessageError):
    """The caller may not get what the answer would hold."""

    code = "caller-may-not-open"
    status = 403
    response_status = 403
    title = "The caller may not open what the answer holds."
    cause = (
        "The rule has `for`, or its listener `callers`, and says `refuse` for this caller; or the"
        " value would be masked and is no text. Or the caller's credential has ended during a"
        " stream or a WebSocket."
    )
    remedy = "Send the credential of a caller whom the rule names, or name this one in `for`."


class CallerMayNotSeal(TrafficError):
    """The caller may not send what the rule seals."""

    code = "caller-may-not-seal"
    status = 403
    title = "The caller may not send messages of this rule."
    cause = "The request block of the rule has `for`, and does not name this caller."
    remedy = "Send the credential of a caller whom the rule names, or name this one in `for`."


class PurposeMissing(TrafficError):
    """The request does not say what its values are for."""

    code = "purpose-of-use-missing"
    status = 400
    title = "The request states no known purpose of use."
    cause = (
        "The rule has `purpose_of_use`, and the header that it names is missing or holds none of"
        " `purposes_of_use`."
    )
    remedy = "Send one of the purposes that the configuration lists, in the header of `detail`."


class MaskedValue(MessageError):
    """What a caller got in place of a value comes back to be stored."""

    code = "masked-value"
    status = 409
    title = "A mask would replace a value."
    cause = (
        "A value of a field that is masked has the sign of masks (U+2022). Or a token came back"
        " that does not open in its place. Or the caller would replace a field of which it does not"
        " get the value."
    )
    remedy = "Leave the member out, with PATCH, or send a value that was typed in anew."
