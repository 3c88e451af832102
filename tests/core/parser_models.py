"""Small models of how parsers read names, written from their documentation; nothing of them runs.

Each takes a name as it is spelled on the wire and gives the path under which a handler finds its
value. They are stricter than the parsers in nothing that matters to a rule, and make no use of
Sealyard's own foldings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote, unquote_plus

Path = tuple[str, ...]
Model = Callable[[str], Path]


def php(spelled: str) -> Path:
    """php_register_variable_ex: spaces before it go, ` ` and `.` become `_`, `[` nests."""
    name = unquote_plus(spelled).lstrip(" ").partition("\0")[0]
    head, bracket, rest = name.partition("[")
    if bracket and "]" not in rest:
        head, rest = f"{head}_{rest}", ""
    first = head.replace(" ", "_").replace(".", "_")
    keys = re.match(r"(?:[^\]]*\](?:\[|$))*", rest)
    steps = keys[0].rstrip("[").split("][") if keys and keys[0] else []
    return (first, *(one.rstrip("]") for one in steps if one.rstrip("]")))


def rack(spelled: str) -> Path:
    """Rack::QueryParser#normalize_params: brackets before it go, `[…]` nests."""
    match = re.match(r"[\[\]]*([^\[\]]+)\]*(.*)", unquote_plus(spelled), re.DOTALL)
    if match is None:
        return ()
    return (match[1], *(one for one in re.findall(r"\[([^\[\]]*)\]", match[2]) if one))


def rails_multiparameter(spelled: str) -> Path:
    """ActiveRecord: `date(1i)` is a part of the attribute `date`."""
    path = rack(spelled)
    return (*path[:-1], path[-1].partition("(")[0]) if path else path


def qs(spelled: str) -> Path:
    """Qs of npm, `extended` bodies of Express: `[…]` nests, also `[a]` by itself."""
    name = unquote_plus(spelled)
    head, bracket, rest = name.partition("[")
    steps = re.findall(r"\[([^\[\]]*)\]", bracket + rest)
    return tuple(one for one in (head, *steps) if one)


def qs_with_dots(spelled: str) -> Path:
    """Qs with `allowDots`."""
    return tuple(part for one in qs(spelled) for part in one.split(".") if part)


def literally(spelled: str) -> Path:
    """Werkzeug, Django, Go's net/url: as it stands, decoded once."""
    return (unquote_plus(spelled),)


def asp_net(spelled: str) -> Path:
    """ASP.NET: in any case, `%u0063` decodes, `a.b` and `a[b]` nest."""
    wide = re.sub(r"%u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), spelled)
    steps = re.split(r"[.\[\]]+", unquote_plus(wide).lower())
    return tuple(one for one in steps if one)


def spring(spelled: str) -> Path:
    """WebDataBinder: `!a` and `_a` stand for `a`; BeanWrapper: `a.b`, `a['b']`, `a[0]`."""
    name = re.sub(r"^[!_]", "", unquote_plus(spelled))
    return tuple(one.strip("'\"") for one in re.split(r"[.\[\]]+", name) if one)


def grpc_gateway(spelled: str) -> Path:
    """grpc-gateway: `a.b` nests, and a field has its own name or the one in camel case."""
    return tuple(
        re.sub(r"(?<=[A-Za-z0-9])_([a-z])", lambda match: match[1].upper(), one)
        for one in unquote_plus(spelled).split(".")
    )


def spring_relaxed(spelled: str) -> Path:
    """Spring Boot's relaxed names: without `-` and `_`, in lower case; `_id` is not `id`."""
    return (re.sub("(?<!^)[-_]", "", unquote_plus(spelled).replace("-", "_")).lower(),)


def in_c(spelled: str) -> Path:
    """What takes a name for a string of C."""
    return (unquote_plus(spelled).partition("\0")[0],)


def decoded_twice(spelled: str) -> Path:
    """What stands behind something that decodes already."""
    return (unquote(unquote_plus(spelled)),)


def zope(spelled: str) -> Path:
    """Zope's converters: `a:int`, `a.b:record`."""
    return tuple(unquote_plus(spelled).partition(":")[0].split("."))


def aiohttp_part(spelled: str) -> Path:
    """parse_content_disposition of aiohttp: no quoted name begins with slashes."""
    return (unquote_plus(spelled).lstrip("\\/"),)


def normalising(spelled: str) -> Path:
    """What normalises names before it compares them."""
    return (unicodedata.normalize("NFKC", unquote_plus(spelled)).casefold().strip(),)


FIELDS: dict[str, Model] = {
    one.__name__: one
    for one in (
        php, rack, rails_multiparameter, qs, qs_with_dots, literally, asp_net, spring,
        grpc_gateway, spring_relaxed, in_c, decoded_twice, zope, aiohttp_part, normalising,
    )
}  # fmt: skip


def go_json(name: str) -> Path:
    """encoding/json: the exact name, or one that is equal under Unicode's simple folding."""
    return (name.casefold(),)


def java_ignoring_case(name: str) -> Path:
    """String.equalsIgnoreCase, of Jackson and Gson: by upper case, then by lower case."""
    return ("".join(one.upper().lower() if len(one.upper()) == 1 else one for one in name),)


def snake_strategy(name: str) -> Path:
    """Jackson, Gson and .NET with snake or kebab case: `ConversationId` is `conversation_id`."""
    return (re.sub(r"(?<=[a-z0-9])[A-Z]", lambda m: f"_{m[0]}", name).replace("-", "_").lower(),)


def proto3(name: str) -> Path:
    """proto3 JSON: the field's own name, or its lowerCamelCase."""
    return (re.sub(r"(?<=[A-Za-z0-9])_([a-z])", lambda match: match[1].upper(), name),)


def c_json(name: str) -> Path:
    """What keeps names as strings of C."""
    return (name.partition("\0")[0],)


def mongo(name: str) -> Path:
    """MongoDB's updates, Parse Server, lodash.set: a name with dots or brackets is a path."""
    return tuple(one for one in re.split(r"[.\[\]]", name) if one)


def lodash(name: str) -> Path:
    """lodash.set: as the others, `['a']` without its escapes; brackets without a step are none."""
    steps = [""] if name.startswith(".") else []
    at = 0
    while at < len(name):
        quoted = re.compile(r"\[(['\"])((?:\\.|[^\\])*?)\1\]", re.DOTALL).match(name, at)
        plain = re.compile(r"[^.\[\]]+").match(name, at)
        if quoted is not None:
            steps.append(re.sub(r"\\(.)", r"\1", quoted[2], flags=re.DOTALL))
        elif plain is not None:
            steps.append(plain[0])
        elif name.startswith(("..", "[]."), at):
            steps.append("")
        found = quoted or plain
        at = found.end() if found else at + 1
    return tuple(steps)


def rails_json(name: str) -> Path:
    """ActiveRecord, of what strong parameters permit: `date(1i)` is a part of `date`."""
    return (re.sub(r"\([0-9]+[if]?\)\Z", "", name),)


def normalising_json(name: str) -> Path:
    """What normalises names before it compares them."""
    return (unicodedata.normalize("NFKC", name).casefold().strip(" "),)


MEMBERS: dict[str, Model] = {
    one.__name__: one
    for one in (
        go_json, java_ignoring_case, snake_strategy, proto3, c_json, mongo, lodash,
        normalising_json, rails_json,
    )
}  # fmt: skip


def cgi(name: str) -> Path:
    """CGI, WSGI, PHP, Rack: `HTTP_X_ROOM`; Apache makes `_` of all that is no letter or digit."""
    return (re.sub("[^A-Z0-9]", "_", name.upper()),)


HEADERS: dict[str, Model] = {"cgi": cgi}


def takes(model: Model, spelled: str, ruled: str) -> bool:
    """Tell whether a model reads a name as another one, or as a part of its value."""
    wanted = model(ruled)
    return bool(wanted) and model(spelled)[: len(wanted)] == wanted
