"""The errors that operators meet, on the command line and in the admin API, never in traffic."""

from __future__ import annotations

from typing import ClassVar

from .traffic import SealyardError


class OperatorError(SealyardError):
    """An error in the files, settings or arguments that the operator gave."""

    code = "operator-error"
    title = "Sealyard cannot use what it was given."


class ConfigurationError(OperatorError):
    """The configuration has errors; `problems` holds all of them.

    `closed` holds the same without what they quote of the file: that may be a secret in a wrong
    place, so a log gets these.
    """

    code = "configuration-error"
    title = "The configuration has errors."
    start: ClassVar[str] = "`sealyard init` writes one to start from"
    """What to do where there is no such file."""

    def __init__(self, problems: tuple[str, ...], closed: tuple[str, ...] | None = None) -> None:
        """Keep every problem as one line: `file:line:column path message`."""
        super().__init__("configuration-error", detail="\n".join(problems))
        self.problems = problems
        self.closed = problems if closed is None else closed


class CasesError(ConfigurationError):
    """A file of cases for rules has errors."""

    title = "The cases have errors."
    start = "docs/how-to/rule-tests.md has one to start from"


class JobError(ConfigurationError):
    """The file of a migration job has errors."""

    title = "The job has errors."
    start = "docs/reference/job.md has one to start from"


class RestartNeeded(ConfigurationError):
    """A new configuration is valid, and changes something that only a new process can apply."""

    code = "restart-needed"
    title = "The change requires a restart."


class DescriptionError(OperatorError):
    """An OpenAPI description cannot be used; `problems` holds all that is wrong with it."""

    code = "description-error"
    title = "The description cannot be used."

    def __init__(self, problems: tuple[str, ...]) -> None:
        """Keep every problem as one line: `file:line:column message`."""
        super().__init__(detail="\n".join(problems))
        self.problems = problems


class InvalidExpression(OperatorError):
    """A selector, source, pattern or media type of the configuration that does not parse."""

    code = "invalid-expression"
    title = "An expression in the configuration is invalid."

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Say what is wrong with the expression, and where it helps what to write instead."""
        super().__init__(message, detail=hint)
        self.message = message
        self.hint = hint


class KeyringError(OperatorError):
    """The keyring cannot be opened, read, written or used as asked."""

    code = "keyring-error"
    title = "The keyring cannot be used."


class PassphraseError(KeyringError):
    """A passphrase is missing, or too weak to protect something new."""

    title = "The passphrase cannot be used."


class RootUnavailable(KeyringError):
    """No root opens the keyring now, and a key service among them might later."""

    code = "root-unavailable"
    title = "No root opens the keyring."


class ParticipantError(OperatorError):
    """A participant's key cannot be added, found, opened or changed as asked."""

    code = "participant-error"
    title = "The participant's key cannot be used."


class UnknownParticipantKey(ParticipantError):
    """A participant has no key with that id, or not the part of it that is asked for."""

    code = "unknown-participant-key"
    title = "There is no such key."


class ParticipantsUnavailable(ParticipantError):
    """The store that keeps participants' keys does not respond."""

    code = "participants-unavailable"
    title = "Participants cannot be looked up at the moment."


class KeyMakerBusy(ParticipantError):
    """So many key pairs are being generated that another one would wait for too long."""

    code = "key-maker-busy"
    title = "Too many key pairs are being generated; try again later."


class NotErasable(OperatorError):
    """Durable session keys are derived: only the KEK that they come from can be destroyed."""

    code = "not-erasable"
    title = "Durable session keys cannot be erased: destroy their KEK, or use ephemeral sessions."


class MigrationFailed(OperatorError):
    """Stored values cannot be read or written; the reason is a code, such as an SQLSTATE."""

    code = "migration-failed"
    title = "The migration cannot go on."


class WorkerGone(SealyardError):
    """A worker process has ended, or did not answer in time: perhaps it did what was asked."""

    code = "worker-gone"
    title = "A worker process ended or did not answer."


class UnfitEnvironment(OperatorError):
    """The machine, or a file or a server on it, is not as Sealyard requires."""

    code = "environment-error"
    title = "Something that Sealyard needs is missing or does not fit."


class AddressUnavailable(UnfitEnvironment):
    """An address cannot be listened on: it is in use, not of this machine, or not allowed."""

    title = "An address cannot be listened on."
