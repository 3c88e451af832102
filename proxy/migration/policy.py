"""Numbers of migration that nobody can set; what a job sets is in job/model.py."""

from typing import Final

# --- batches and workers ----------------------------------------------------------
BATCH_TRIES: Final = 3  # a batch in which another writer changed a row meanwhile is read again
RANGES: Final = 4  # of a table for each worker, so that all end at about the same time
STATE_SECONDS: Final = 1.0  # between writes of how far the run has come
LEAST_SCOPES: Final = 256  # held by a worker
CONTEXTS_KEPT: Final = 4096
TRIED_ROWS: Final = 2000  # of each table, for an estimate
TRIED_ELEMENTS: Final = 50  # of a backend, for the same
TERMINAL_SECONDS: Final = 0.2  # between lines of progress
WAIT_SECONDS: Final = 1.0  # a run that is to wait asks again
LOG_SECONDS: Final = 5.0  # between them elsewhere

# --- sessions ---------------------------------------------------------------------
# Of one session: 2^32 blocks of AES even where each has 16 MiB.
SESSION_VALUES: Final = 1 << 12
SESSION_SECONDS: Final = 3600
SESSIONS_KEPT: Final = 256

# --- sources ----------------------------------------------------------------------
HTTP_SECONDS: Final = 30.0  # each step of a request; an answer may take as long as four
HTTP_ATTEMPTS: Final = 6  # a busy backend is asked
HTTP_WAIT_SECONDS: Final = 60  # a backend that asks for more is asked again after them
HTTP_ANSWER_BYTES: Final = 16 << 20
HTTP_PIECE_BYTES: Final = 64 * 1024
LOCK_SECONDS: Final = 5  # a server holds row locks of a run for no longer
LOCK_WAIT_SECONDS: Final = 4  # PostgreSQL waits for a lock of another
# MySQL has no bound of a transaction: these add up to one.
TRANSACTION_SECONDS: Final = 1.0
ROW_WAIT_SECONDS: Final = 1
LOCK_IDLE_SECONDS: Final = 3
MYSQL_IDLE_SECONDS: Final = 7 * 24 * 3600  # a run may be paused
MYSQL_SECONDS: Final = 600
MYSQL_VARCHAR: Final = 16_000  # all columns of a row but texts share 65,535 bytes
SQLITE_SECONDS: Final = 60.0  # for a lock
SQLITE_AGAIN_SECONDS: Final = 0.0005
RECORD_BYTES: Final = 16 << 20
PASSWORD_BYTES: Final = 4096

# --- what a run costs, in bytes unless said otherwise ------------------------------
POSTGRESQL_ROW: Final = 28  # beside its cells: header and line pointer
WAL_RECORD: Final = 90  # beside what it is about
WAL_INDEX_ENTRY: Final = 80  # with its record
BINLOG_EVENT: Final = 150  # around each change
INNODB_FILLED: Final = 0.75  # of pages that were parted since rows grew
SQLITE_PAGES: Final = 1.5  # that were parted, to what they hold

# --- scrubbing --------------------------------------------------------------------
DRAWN_VALUES: Final = 64  # of each table, for a search of files
DRAWN_PLACES: Final = 16  # of a table from which they are drawn
SOUGHT_LEAST: Final = 8  # bytes of a value that is looked for
SOUGHT_BYTES: Final = 24  # of it that are
SEARCH_BYTES: Final = 16 << 20  # of a file that are read at once
PURGE_SECONDS: Final = 30.0  # for binary logs that the server still needs
PURGE_AGAIN_SECONDS: Final = 0.5
UNDO_BYTES: Final = 2 << 20  # by which an undo log grows when its free pages are full
UNDO_WRITES: Final = 1 << 16  # of 0.5 MB each
