"""The log: declared events, structlog's processors that check and render them, and the sink.

`events` and `key_events` declare what can be written, `processors` say in which order an event is
checked and rendered, `access_line` has the prepared line of a message, `library_logs` takes in what
Python and libraries log, and `logger` is the one Reporter through which all of it is written.
"""
