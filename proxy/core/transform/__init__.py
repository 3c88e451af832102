"""What a rule does to a message: from a head and a body to what may be forwarded.

This package alone makes a `Forwardable`, and its doors are the names below: nothing outside imports
a module of it. A message passes (`pass_request`, `pass_handshake`, `pass_response`), is changed at
once if its head was prepared and its keys are at hand (`prepare_*`, then `change`), changes record
by record (`begin_stream`), or is planned and applied (`plan_*`, then `apply`), which tells why it
may not go on.
"""

from .changed import Applied as Applied
from .changed import apply as apply
from .forwardable import Changed as Changed
from .forwardable import Forwardable as Forwardable
from .forwardable import Frame as Frame
from .passing import ask_backend as ask_backend
from .passing import begin_stream as begin_stream
from .passing import pass_handshake as pass_handshake
from .passing import pass_request as pass_request
from .passing import pass_response as pass_response
from .planner import plan_bodiless as plan_bodiless
from .planner import plan_flowing_request as plan_flowing_request
from .planner import plan_flowing_response as plan_flowing_response
from .planner import plan_message as plan_message
from .planner import plan_request as plan_request
from .planner import plan_response as plan_response
from .prepare import prepare_messages as prepare_messages
from .prepare import prepare_records as prepare_records
from .prepare import prepare_request as prepare_request
from .prepare import prepare_response as prepare_response
from .prepared import Lacking as Lacking
from .prepared import Prepared as Prepared
from .prepared import PreparedJson as PreparedJson
from .prepared import PreparedMessages as PreparedMessages
from .prepared import PreparedRecords as PreparedRecords
from .prepared import PreparedWhole as PreparedWhole
from .prepared import WarmKeys as WarmKeys
