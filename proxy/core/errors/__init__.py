"""Every error that Sealyard raises on purpose: its code, HTTP status, title, cause and remedy.

The reference page of errors is made from these classes, and the one place that turns an error into
a response reads nothing else. An error carries a *reason* for the log (a short code, never a value)
and, where it helps, a *detail* for the client (names and sizes, never a value).
"""

from __future__ import annotations

from .callers import CallerKeysAway as CallerKeysAway
from .callers import CallerMayNotOpen as CallerMayNotOpen
from .callers import CallerMayNotSeal as CallerMayNotSeal
from .callers import CallerMayNotSearch as CallerMayNotSearch
from .callers import CallerOpensLimited as CallerOpensLimited
from .callers import CallersThrottled as CallersThrottled
from .callers import CallerUnverified as CallerUnverified
from .callers import MaskedValue as MaskedValue
from .callers import PurposeMissing as PurposeMissing
from .operator import AddressUnavailable as AddressUnavailable
from .operator import CasesError as CasesError
from .operator import ConfigurationError as ConfigurationError
from .operator import DescriptionError as DescriptionError
from .operator import InvalidExpression as InvalidExpression
from .operator import JobError as JobError
from .operator import KeyMakerBusy as KeyMakerBusy
from .operator import KeyringError as KeyringError
from .operator import MigrationFailed as MigrationFailed
from .operator import NotErasable as NotErasable
from .operator import OperatorError as OperatorError
from .operator import ParticipantError as ParticipantError
from .operator import ParticipantsUnavailable as ParticipantsUnavailable
from .operator import PassphraseError as PassphraseError
from .operator import RestartNeeded as RestartNeeded
from .operator import RootUnavailable as RootUnavailable
from .operator import UnfitEnvironment as UnfitEnvironment
from .operator import UnknownParticipantKey as UnknownParticipantKey
from .operator import WorkerGone as WorkerGone
from .traffic import AmbiguousRequest as AmbiguousRequest
from .traffic import AskNotFound as AskNotFound
from .traffic import AskRefused as AskRefused
from .traffic import BodyTooLarge as BodyTooLarge
from .traffic import Busy as Busy
from .traffic import DigestMismatch as DigestMismatch
from .traffic import ExpectationFailed as ExpectationFailed
from .traffic import ForbiddenValue as ForbiddenValue
from .traffic import HeadTooLarge as HeadTooLarge
from .traffic import IndexIncomplete as IndexIncomplete
from .traffic import InternalError as InternalError
from .traffic import InvalidBody as InvalidBody
from .traffic import KeysFull as KeysFull
from .traffic import KeyUnavailable as KeyUnavailable
from .traffic import LoopDetected as LoopDetected
from .traffic import MalformedRequest as MalformedRequest
from .traffic import MessageError as MessageError
from .traffic import MethodNotAllowed as MethodNotAllowed
from .traffic import MissingValue as MissingValue
from .traffic import NothingSealed as NothingSealed
from .traffic import NotIndexable as NotIndexable
from .traffic import OpenFailed as OpenFailed
from .traffic import RejectedByRule as RejectedByRule
from .traffic import SealyardError as SealyardError
from .traffic import SearchNotSupported as SearchNotSupported
from .traffic import SearchTooBroad as SearchTooBroad
from .traffic import SlowRequest as SlowRequest
from .traffic import TrafficError as TrafficError
from .traffic import UnfitValue as UnfitValue
from .traffic import UnlistedName as UnlistedName
from .traffic import Unopened as Unopened
from .traffic import UnsupportedBody as UnsupportedBody
from .traffic import UnsupportedTransferCoding as UnsupportedTransferCoding
from .traffic import UpstreamFailed as UpstreamFailed
from .traffic import UpstreamResting as UpstreamResting
from .traffic import UpstreamTimeout as UpstreamTimeout
from .traffic import ValueTooLong as ValueTooLong
from .traffic import traffic_errors as traffic_errors
