"""The store's operations as Lua scripts: each is atomic, on Redis' clock, within one hash slot.

What stands under a key is the epoch in 20 digits and then the record. Digits compare as texts in
every locale, and Lua's own numbers would lose the last bits of a large one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

EPOCH_DIGITS: Final = 20
CLOCK_REFUSED: Final = b"clock"
PROBE: Final = "probe"
"""A name that no conversation has, for those who try whether Redis does what it must."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the digest by which Redis knows it once it was sent."""

    text: str

    @property
    def digest(self) -> str:
        """Return what EVALSHA calls it; Redis fixes SHA-1 for that."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


# KEYS  current session, revocation, and for an ephemeral session its key
# ARGV  value, ttl ms, keep ms, made ms (0: not compared), most skew ms, channel, name
_BEGIN: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local made = tonumber(ARGV[4])
if made > 0 and math.abs(now - made) > tonumber(ARGV[5]) then
  return {'', 0, false, 'clock'}
end
local revocation = redis.call('GET', KEYS[2])
local held = redis.call('GET', KEYS[1])
local left = held and redis.call('PTTL', KEYS[1]) or 0
"""
_KEEP: Final = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if KEYS[3] then
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
end
"""
# A user who may not publish still agrees: others then find out when they ask again.
_TELL: Final = """
redis.pcall('PUBLISH', {channel}, {name})
"""

GET_OR_CREATE: Final = Script(
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

REPLACE: Final = Script(
    _BEGIN
    + """
if held and left > 0 and string.sub(held, 1, 20) >= string.sub(ARGV[1], 1, 20) then
  return {held, left, revocation}
end
"""
    + _KEEP
    + _TELL.format(channel="ARGV[6]", name="ARGV[7]")
    + """
return {ARGV[1], tonumber(ARGV[2]), revocation}
"""
)

# KEYS  revocation, then keys of ephemeral sessions
FIND: Final = Script("""
local found = {redis.call('GET', KEYS[1])}
for at = 2, #KEYS do
  local held = redis.call('GET', KEYS[at])
  found[at] = held and {held, redis.call('PTTL', KEYS[at])} or false
end
return found
""")

# KEYS  revocation;  ARGV  value, whose epoch is a time in seconds, channel, name, most skew s
REVOKE: Final = Script(
    """
local latest = redis.call('TIME')[1] + tonumber(ARGV[4])
if tonumber(string.sub(ARGV[1], 1, 20)) > latest then
  return {'clock'}
end
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, 20) >= string.sub(ARGV[1], 1, 20) then
  return held
end
redis.call('SET', KEYS[1], ARGV[1])
"""
    + _TELL.format(channel="ARGV[2]", name="ARGV[3]")
    + """
return ARGV[1]
"""
)

# KEYS  what is kept, revocation;  ARGV  value, keep ms
KEEP: Final = Script("""
local revocation = redis.call('GET', KEYS[2])
local held = redis.call('GET', KEYS[1])
local left = held and redis.call('PTTL', KEYS[1]) or 0
if held and left > 0 and string.sub(held, 1, 20) >= string.sub(ARGV[1], 1, 20) then
  return {held, left, revocation}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {ARGV[1], tonumber(ARGV[2]), revocation}
""")

# KEYS  note;  ARGV  value, whose epoch is 0 where nothing is to be kept, channel or nothing, name
NOTE: Final = Script(
    """
local held = redis.call('GET', KEYS[1])
local epoch = string.sub(ARGV[1], 1, 20)
if (held and string.sub(held, 1, 20) >= epoch) or epoch == string.rep('0', 20) then
  return held
end
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then
"""
    + _TELL.format(channel="ARGV[2]", name="ARGV[3]")
    + """
end
return ARGV[1]
"""
)

# KEYS  current session, keys of ephemeral sessions;  ARGV  channel, what is told
ERASE: Final = Script(
    """
redis.call('DEL', unpack(KEYS))
"""
    + _TELL.format(channel="ARGV[1]", name="ARGV[2]")
    + """
return #KEYS
"""
)
