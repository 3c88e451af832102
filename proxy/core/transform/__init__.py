"""What a rule does to a message: from a head and a body to what may be forwarded.

This package alone makes a `Forwardable`, and its doors are the names below: nothing outside imports
a module of it. A message passes (`pass_request`, `pass_handshake`, `pass_response`), is changed at
once if its head was prepared and its keys are at hand (`prepare_*`, then `change`), changes record
by record (`begin_stream`), or is planned and applied (`plan_*`, then `apply`), which tells why it
may not go on.
"""

from .changed import Applied, apply
from .forwardable import Changed, Forwardable, Frame
from .passing import ask_backend, begin_stream, pass_handshake, pass_request, pass_response
from .planner import (
    plan_bodiless,
    plan_flowing_request,
    plan_flowing_response,
    plan_message,
    plan_request,
    plan_response,
)
from .prepare import (
    prepare_messages,
    prepare_records,
    prepare_request,
    prepare_response,
)
from .prepared import (
    KeysOfOne,
    Prepared,
    PreparedJson,
    PreparedMessages,
    PreparedRecords,
    PreparedWhole,
    WarmKeys,
)

__all__ = [
    "Applied",
    "Changed",
    "Forwardable",
    "Frame",
    "KeysOfOne",
    "Prepared",
    "PreparedJson",
    "PreparedMessages",
    "PreparedRecords",
    "PreparedWhole",
    "WarmKeys",
    "apply",
    "ask_backend",
    "begin_stream",
    "pass_handshake",
    "pass_request",
    "pass_response",
    "plan_bodiless",
    "plan_flowing_request",
    "plan_flowing_response",
    "plan_message",
    "plan_request",
    "plan_response",
    "prepare_messages",
    "prepare_records",
    "prepare_request",
    "prepare_response",
]
