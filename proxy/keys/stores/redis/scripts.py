"""The store's operations as Lua scripts: each is atomic, on Redis' clock, within one hash slot.

A value is a record. A script cannot tell whether one is authentic, so it does not decide by its
contents: it replaces a record only if it is the one that the caller has `seen` and verified with
the record key.

Each answer begins with the last argument, a mark that no other call has, and Redis' time: an answer
to an earlier call is recognized, and every answer tells how far our clock is from that of Redis.
"""

from __future__ import annotations

import hashlib
from typing import Final

CLOCK_REFUSED: Final = b"clock"
PROBE: Final = "probe"
"""A name that no conversation has, to check whether Redis does what it must."""


class Script:
    """A script, and the digest by which Redis knows it once it was sent."""

    def __init__(self, text: str) -> None:
        """Take the script as it is."""
        self.text = text
        # Redis fixes SHA-1 for that.
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def marked(body: str) -> Script:
    """Return a script whose answer begins with the mark, ARGV's last, and with Redis' time."""
    begin = "local time = redis.call('TIME')\nlocal function answer()"
    return Script(f"{begin}{body}end\nreturn {{ARGV[#ARGV], time, answer()}}\n")


# A value that is no string was not written by Sealyard: it is read as an empty record, which has no
# MAC. `others` is true for a record that is not the one that the caller has seen (`=` and a record,
# or an empty text for none).
_READ: Final = """
local function read(key)
  local value = redis.pcall('GET', key)
  if type(value) ~= 'table' then
    return value
  end
  return string.find(value.err, 'WRONGTYPE', 1, true) and '' or redis.call('GET', key)
end
local function others(held, seen)
  return held and seen ~= '=' .. held
end
"""

# KEYS  current session, revocation, and for an ephemeral session its key
# ARGV  record, ttl ms, keep ms, made ms (0: not compared), most skew ms, channel, name, seen
_BEGIN: Final = (
    _READ
    + """
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local made = tonumber(ARGV[4])
if made > 0 and math.abs(now - made) > tonumber(ARGV[5]) then
  return {'', 0, false, 'clock'}
end
local revocation = read(KEYS[2])
local held = read(KEYS[1])
local left = held and redis.call('PTTL', KEYS[1]) or 0
"""
)
_KEEP: Final = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if KEYS[3] then
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
end
"""
# A user who may not publish still agrees: others then find out when they ask again.
_PUBLISH: Final = """
redis.pcall('PUBLISH', {channel}, {name})
"""

GET_OR_CREATE: Final = marked(
    _BEGIN
    + """
if held and left > 0 then
  return {held, left, revocation}
end
"""
    + _KEEP
    + """
return {ARGV[1], tonumber(ARGV[2]), revocation}
"""
)

REPLACE: Final = marked(
    _BEGIN
    + """
if left > 0 and others(held, ARGV[8]) then
  return {held, left, revocation}
end
"""
    + _KEEP
    + _PUBLISH.format(channel="ARGV[6]", name="ARGV[7]")
    + """
return {ARGV[1], tonumber(ARGV[2]), revocation}
"""
)

# KEYS  revocation, then keys of ephemeral sessions, or whatever else ends
FIND: Final = marked(
    _READ
    + """
local found = {read(KEYS[1])}
for at = 2, #KEYS do
  local held = read(KEYS[at])
  found[at] = held and {held, redis.call('PTTL', KEYS[at])} or false
end
return found
"""
)

# KEYS  revocation;  ARGV  record, the time that it says (seconds), channel, name, most skew s, seen
REVOKE: Final = marked(
    _READ
    + """
local latest = time[1] + tonumber(ARGV[5])
if tonumber(ARGV[2]) > latest then
  return {'clock'}
end
local held = read(KEYS[1])
if others(held, ARGV[6]) then
  return held
end
redis.call('SET', KEYS[1], ARGV[1])
"""
    + _PUBLISH.format(channel="ARGV[3]", name="ARGV[4]")
    + """
return ARGV[1]
"""
)

# KEYS  what is kept, revocation;  ARGV  record, keep ms, seen
KEEP: Final = marked(
    _READ
    + """
local revocation = read(KEYS[2])
local held = read(KEYS[1])
local left = held and redis.call('PTTL', KEYS[1]) or 0
if left > 0 and others(held, ARGV[3]) then
  return {held, left, revocation}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {ARGV[1], tonumber(ARGV[2]), revocation}
"""
)

# KEYS  note;  ARGV  `=` and the record (or an empty text to read only), channel or nothing, name,
#       seen
NOTE: Final = marked(
    _READ
    + """
local held = read(KEYS[1])
if ARGV[1] == '' or others(held, ARGV[4]) then
  return held
end
local record = string.sub(ARGV[1], 2)
redis.call('SET', KEYS[1], record)
if ARGV[2] ~= '' then
"""
    + _PUBLISH.format(channel="ARGV[2]", name="ARGV[3]")
    + """
end
return record
"""
)

# KEYS  current session, keys of ephemeral sessions;  ARGV  channel, what is published
ERASE: Final = marked(
    _READ
    + """
local gone = {}
for at = 1, #KEYS do
  gone[at] = read(KEYS[at])
end
redis.call('DEL', unpack(KEYS))
"""
    + _PUBLISH.format(channel="ARGV[1]", name="ARGV[2]")
    + """
return gone
"""
)
