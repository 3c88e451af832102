"""Declarations of settings: reader, messages, JSON Schema and reference of a key come from one.

A section of a file is a frozen dataclass whose fields are declared by `setting`, and a `Section`
that names it:

    @dataclass(frozen=True, slots=True)
    class SessionSettings:
        ttl: float = setting(Duration(high=DAY), "How long a key seals.", default=HOUR)

    SESSIONS = Section(SessionSettings, "sessions", "`keys.sessions`", check=_check)
    SESSIONS.read(place, problems)      # a SessionSettings, or None after reporting

Kinds are in `kinds`, `composed` and `addresses`; `section` has what puts them together.
"""
