"""Numbers of the admin API and the health listener that nobody can set."""

from typing import Final

# --- who may call how often -------------------------------------------------------
CALLS_PER_SECOND: Final = 50.0  # of one caller
CALLS_AT_ONCE: Final = 100
FAILURES_PER_SECOND: Final = 1.0  # wrong credentials of one address
FAILURES_AT_ONCE: Final = 10
RETRY_AFTER: Final = "1"  # seconds, of a call that is one too many
STREAM_AFTER: Final = "5"  # seconds, of a stream that is one too many
LIMITED_NAMES: Final = 1024  # whose rates are known; of more, the latest
SUBNET_BITS: Final = 64  # of IPv6: one customer has at least as much

# --- connections ------------------------------------------------------------------
# More are reset, since the traffic needs file descriptors too. A connection that sends nothing, or
# half a head, is closed after the keep-alive time-out.
MOST_CONNECTIONS: Final = 256
BACKLOG: Final = 128
KEEPALIVE_SECONDS: Final = 15.0
SHUTDOWN_SECONDS: Final = 2.0
HEAD_LINE_BYTES: Final = 4096  # of the request line and of each header
MOST_HEADERS: Final = 64
BODY_BYTES: Final = 16 * 1024
SHOWN_CHARS: Final = 60  # of an unknown name in an answer

# --- tokens -----------------------------------------------------------------------
LEAST_CHARS: Final = 16
TOKEN_BYTES: Final = 1024
# A review is cached, so that scrapers do not load the API server; a refusal for less, so that new
# rights count soon.
REVIEWED_SECONDS: Final = 30.0
REFUSED_SECONDS: Final = 10.0
REVIEWS_KEPT: Final = 256
REVIEWS_AT_ONCE: Final = 4
REVIEWED_TOKEN_BYTES: Final = 16 * 1024
REVIEW_BYTES: Final = 256 * 1024

# --- streams and the page ---------------------------------------------------------
STREAM_LOOK_SECONDS: Final = 0.5
STATUS_LOOKS: Final = 4  # the status is sent with every fourth look
SILENT_LOOKS: Final = 10  # then a comment is sent, so that a gone viewer is noticed
MOST_STREAMS: Final = 8
DOCUMENT_SECONDS: Final = 60.0  # for another process to make the OpenAPI document
MOST_REDIRECTS: Final = 10  # of a probe of the application, as the kubelet's
