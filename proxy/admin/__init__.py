"""The admin API and the health listener: on their own ports, never on that of the traffic."""

from ..process.deferred import defer

# Before any module here imports it: of aiohttp, its client is not needed.
defer("aiohttp")
