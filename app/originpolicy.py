"""Origin policy: whether a request may have been made by a web page that has no business here.

A browser sends what any page tells it to, also to a node on the same machine or network. Three rules keep pages out,
and do not concern programs, which send neither Origin nor a foreign Host:

Host       names a host that this node is known by. A name that somebody else's DNS points here is not one, so that
           no page becomes ours by changing its address (DNS rebinding). Addresses cannot be rebound, and neither can
           names without a dot, which no public DNS serves.
Origin, Sec-Fetch-Site   of a request that may change something are our own, or the origin is allowed.
CORS       the answer lets a page read it, if its origin is allowed; and so does that to a preflight.

Source: RFC 9110, section 7.4 (421); the Fetch standard, sections 3.1 and 3.2; W3C Fetch Metadata.
"""

import re
import socket
from collections.abc import Callable, Iterable, Mapping

from app.answers import Answer
from app.origins import ANY, is_address, parse_hosts, parse_origins
from app.problems import BAD_HEADER, CROSS_ORIGIN, MISDIRECTED, Problem
from app.settings import EVERYWHERE, Settings, parse_address

_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_OWN_SITES = frozenset((b"same-origin", b"none"))
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\w*\]|[^\s:@/?#\[\]\\]+)(?::[0-9]*)?")

# Names that browsers themselves resolve to this machine, and names that no public DNS serves: the latter are how a node
# that listens everywhere is called by others in its network (RFC 6761, 6762, 8375, and ICANN's reservation).
_LOCAL_SUFFIX = ".localhost"
_PRIVATE_SUFFIXES = (".local", ".internal", ".home.arpa", ".svc")

# Spellings of Host that are remembered as fit, so that most requests cost one look-up.
_KNOWN_MAX = 1_024

_PREFLIGHT = (
    b"access-control-allow-methods: DELETE, GET, HEAD, POST, PUT\r\n"
    b"access-control-allow-headers: Accept, Content-Type, Idempotency-Key, If-Match, If-None-Match, KV-Session, "
    b"KV-Timeout-Ms, Last-Event-ID\r\n"
    b"access-control-max-age: 600\r\n"
)
_EXPOSED = (
    b"access-control-expose-headers: ETag, KV-Consistency, KV-Expires-In, KV-Served-By, KV-Session, KV-Staleness-Ms, "
    b"Retry-After\r\n"
)
_VARY = b"vary: origin\r\n"


class OriginPolicy:
    """The rules of one node.

    known    spellings of Host that have been found fit
    members  the hosts that the nodes of the cluster are reached at, as far as is known
    """

    def __init__(self, settings: Settings) -> None:
        self.known: set[bytes] = set()
        self.members: Callable[[], Iterable[str]] = tuple
        bound, _ = parse_address("http", settings.http)
        self._is_everywhere = bound in EVERYWHERE
        self._hosts = {name.lower() for name in (bound, socket.gethostname(), settings.name, *settings.seeds)}
        for address in (settings.peer, *settings.seeds.values()):
            self._hosts.add(parse_address("peer", address)[0].lower())
        allowed = parse_hosts(settings.allow_host)
        self._hosts.update(allowed)
        self._suffixes = tuple(name[1:] for name in allowed if name.startswith("*."))
        self._takes_any_host = ANY in allowed
        self._origins = parse_origins(settings.allow_origin)

    def refusal(self, method: bytes, fields: Mapping[bytes, bytes]) -> Problem | None:
        """Why a request with these header fields is not served; None, if it is."""
        host = fields.get(b"host", b"")
        if host and host not in self.known:
            refused = self.host_refusal(host)
            if refused is not None:
                return refused
            if len(self.known) < _KNOWN_MAX:
                self.known.add(host)
        origin = fields.get(b"origin")
        if self._allows(origin) or (method in _SAFE and b"access-control-request-method" not in fields):
            return None
        if origin is not None and not _is_same(origin, host):
            return _foreign("Origin", origin)
        site = fields.get(b"sec-fetch-site", b"none").strip().lower()
        return None if site in _OWN_SITES else _foreign("Sec-Fetch-Site", site)

    def host_refusal(self, authority: bytes) -> Problem | None:
        """Why nobody is served who calls this node so."""
        text = authority.decode("latin-1")
        found = _HOST.fullmatch(text)
        if found is None:
            return Problem(BAD_HEADER, "header Host must be NAME or NAME:PORT", {"header": "Host"})
        name = found[1].lower().removesuffix(".")
        if self._serves(name):
            return None
        detail = (
            f"this node does not know itself as {name}, so it may be a page's trick: ask it by its address, or start "
            f"the nodes with --allow-host {name} (RINGKV_ALLOW_HOST)"
        )
        return Problem(MISDIRECTED, detail, {"header": "Host"})

    def grant(self, fields: Mapping[bytes, bytes]) -> bytes:
        """Header lines of any answer to a request with these fields: they let the page that made it read it."""
        origin = fields.get(b"origin")
        if origin is None or not self._origins:
            return b""
        if not self._allows(origin):
            return _VARY
        return b"access-control-allow-origin: %b\r\n%b%b" % (origin, _EXPOSED, _VARY)

    def preflight(self, method: bytes, fields: Mapping[bytes, bytes]) -> Answer | None:
        """What a browser that asks before it sends is told; None, if this is no such question."""
        if method != b"OPTIONS" or b"access-control-request-method" not in fields:
            return None
        if not self._allows(fields.get(b"origin")):
            return None
        private = b""
        if fields.get(b"access-control-request-private-network", b"").lower() == b"true":
            private = b"access-control-allow-private-network: true\r\n"
        return Answer(204, _PREFLIGHT + private)

    def _allows(self, origin: bytes | None) -> bool:
        if origin is None or not self._origins:
            return False
        return ANY in self._origins or origin.decode("latin-1").lower() in self._origins

    def _serves(self, name: str) -> bool:
        if self._takes_any_host or "." not in name.strip("[]") or name in self._hosts or is_address(name):
            return True
        if name.endswith((_LOCAL_SUFFIX, *self._suffixes)):
            return True
        if self._is_everywhere and name.endswith(_PRIVATE_SUFFIXES):
            return True
        return name in {member.lower() for member in self.members()}


def _is_same(origin: bytes, host: bytes) -> bool:
    """Whether a page of `origin` came from where it sends its request; a proxy before us may have spoken TLS to it."""
    scheme, mark, authority = origin.lower().partition(b"://")
    if not mark or scheme not in {b"http", b"https"}:
        return False
    default = b":443" if scheme == b"https" else b":80"
    return authority.removesuffix(default) == host.lower().removesuffix(default)


def _foreign(header: str, value: bytes) -> Problem:
    text = value.decode("latin-1")
    if header == "Origin":
        detail = (
            f"a page of {text} may not change anything here: start the nodes with --allow-origin {text} "
            "(RINGKV_ALLOW_ORIGIN), if it shall"
        )
    else:
        detail = (
            f"a browser sent this for a page of another origin ({text}), which may not change anything here: start the "
            "nodes with --allow-origin and the origin of the page (RINGKV_ALLOW_ORIGIN), if it shall"
        )
    return Problem(CROSS_ORIGIN, detail, {"header": header})
