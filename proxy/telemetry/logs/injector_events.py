"""The log events of the injector."""

from __future__ import annotations

from typing import Final

from .event_keys import Event

INJECTOR: Final = (
    Event(
        "injector.started",
        "info",
        ("version", "address"),
        "The injector's webhook accepts connections.",
    ),
    Event(
        "injector.reviewed",
        "info",
        ("namespace", "outcome", "problems"),
        "A pod was reviewed: `outcome` is injected, unchanged, disabled (by its label), debugged"
        " (it got an ephemeral container) or denied. `problems` is the number of reasons to deny"
        " it. Their texts are in the response to the API server.",
    ),
    Event(
        "injector.exception_unknown",
        "warning",
        ("namespace",),
        "The exceptions of a namespace hold a word that is no permission, or one that only the"
        " chart's `policy.allow` gives. It allows nothing.",
    ),
    Event(
        "injector.refused",
        "warning",
        ("reason", "status"),
        "A call of the webhook was not an AdmissionReview.",
    ),
    Event(
        "injector.event_failed",
        "warning",
        ("reason",),
        "An Event on the owner of a pod could not be written, and is lost. Said once for each"
        " reason.",
    ),
    Event(
        "injector.certificate_changed",
        "warning",
        ("renewed", "reason"),
        "The files of the webhook's certificate changed. If they cannot be used, the previous"
        " certificate stays in force.",
    ),
    Event(
        "injector.certificate_made",
        "info",
        ("waits",),
        "This replica made a certificate for the webhook and stored it in its Secret. With `waits`"
        " it is used ten minutes later, when every API server trusts it.",
    ),
    Event(
        "injector.authority_published",
        "info",
        ("webhooks",),
        "The authority of the webhook's certificate was written into that many entries of the"
        " webhook configuration.",
    ),
    Event(
        "injector.certificate_failed",
        "error",
        ("reason",),
        "The webhook's certificate could not be made, renewed or published; it is tried again. Said"
        " once for each reason.",
    ),
)
