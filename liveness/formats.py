"""
The text in the state files: encoding and decoding, without a look at the disk. health.sh has the same rules.

A declaration (``error``, ``ready``) is a code, and on a second line a reason. A lease (a file in ``beat/``, ``job/``,
``check/`` or ``expect/``) is a promise with an owner: ``<at> <ttl> <pid> <start>[ <code>]``, and on a second line a
reason.
"""

from __future__ import annotations

from .errors import BadArgument

#: The folders of the leases, in the order in which a probe reads them.
FOLDERS = ("beat", "job", "check", "expect")

CODE_DIGITS = 20
LARGEST_CODE = 10**CODE_DIGITS - 1
LARGEST_TTL = 999_999_999
REASON_BYTES, LEASE_REASON_BYTES = 200, 160

# A reason fits on one line of any terminal: characters that are not printable ASCII are escaped.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {9: "\\t", 10: "\\n", 13: "\\r"}


class Lease:
    """One lease: when it was written, how long it holds, whose it is, and what is wrong, if anything."""

    __slots__ = ("at", "code", "pid", "reason", "start", "ttl")

    def __init__(self, at: int, ttl: int, pid: int, start: str, code: str = "0", reason: str = "") -> None:
        #: Whole seconds of /proc/uptime.
        self.at = at
        #: Whole seconds.
        self.ttl = ttl
        #: The process that wrote it, and the start time of that process (field 22 of its stat).
        self.pid = pid
        self.start = start
        #: Decimal digits; ``0`` if nothing is wrong. In ``expect/``, the number of heartbeats.
        self.code = code
        self.reason = reason

    def age(self, now: int) -> int:
        """
        Whole seconds since the lease was written, on the clock of /proc/uptime.

        Negative if it was written before a reboot; such a lease is stale.
        """
        return now - self.at

    def is_fresh(self, now: int) -> bool:
        """Whether it was written at most ``ttl`` seconds ago, and not in the future."""
        return 0 <= self.age(now) <= self.ttl


def encode_lease(lease: Lease) -> bytes:
    """The content of a lease's file."""
    code = "" if lease.code == "0" else f" {lease.code}"
    line = f"{lease.at} {lease.ttl} {lease.pid} {lease.start}{code}\n".encode()
    reason = _printable(lease.reason, LEASE_REASON_BYTES)
    return b"%s%s\n" % (line, reason) if reason else line


def decode_lease(data: bytes) -> Lease | None:
    """The lease in a file, or None if it is malformed."""
    first, reason = lines(data)
    fields = [field for field in first.replace(b"\t", b" ").split(b" ") if field]
    if not 4 <= len(fields) <= 5:
        return None
    at, ttl, pid, start, code = *fields[:4], fields[4] if len(fields) == 5 else b"0"
    if not (at == b"0" or is_count(at, 9)) or not is_count(ttl, 9) or not is_count(pid, 7):
        return None
    if not is_number(start, 20) or not is_number(code, CODE_DIGITS):
        return None
    shown = _readable(reason, LEASE_REASON_BYTES)
    return Lease(int(at), int(ttl), int(pid), start.decode(), code.decode(), shown)


def encode_code(code: int, reason: object = "") -> bytes:
    """The content of ``error`` or ``ready``."""
    text = _printable(reason, REASON_BYTES)
    return b"%d\n%s\n" % (code, text) if text else b"%d" % code


def decode_code(data: bytes) -> tuple[str | None, str]:
    """The code in ``error`` or ``ready``, None if it is not a number; and the reason, empty if it is not printable."""
    code, reason = lines(data)
    if not is_number(code, CODE_DIGITS):
        return None, ""
    return code.decode(), _readable(reason, REASON_BYTES)


def lines(data: bytes) -> tuple[bytes, bytes]:
    """The first two lines, trimmed of spaces and tabs; a missing line is empty."""
    first, _, rest = data.partition(b"\n")
    return first.strip(b" \t"), rest.partition(b"\n")[0].strip(b" \t")


def is_number(text: bytes, length: int) -> bool:
    """Whether this is 1 to ``length`` digits."""
    return text.isdigit() and len(text) <= length


def is_count(text: bytes, length: int) -> bool:
    """Whether this is 1 to ``length`` digits without a leading zero."""
    return is_number(text, length) and not text.startswith(b"0")


def _printable(reason: object, length: int) -> bytes:
    if reason is None or reason == "":
        return b""
    try:
        text = str(reason)
    except Exception as error:
        # An alarm must not be lost because its reason has no text.
        text = f"no reason: {type(error).__name__} in its text"
    ascii_text = text.translate(_CONTROLS).encode("ascii", "backslashreplace")
    return ascii_text if len(ascii_text) <= length else ascii_text[: length - 3] + b"..."


def _readable(reason: bytes, length: int) -> str:
    if any(not 32 <= byte < 127 for byte in reason):
        return ""
    return reason[:length].decode()


# Arguments of the verbs


def whole(number: object) -> int | None:
    """The number if it is a whole one (of numpy, too, but not a bool), else None."""
    if type(number) is int:
        return number
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        return None
    return int(number.__index__())


def whole_within(what: str, number: object, smallest: int, largest: int, unit: str = "a whole number") -> int:
    """The number if it is a whole one in this range, both ends included. Raises BadArgument otherwise."""
    found = whole(number)
    if found is None or not smallest <= found <= largest:
        raise BadArgument(f"{what}: {shown(number)}: must be {unit} from {smallest} to {largest}")
    return found


def shown(value: object) -> str:
    """The value for a message. Some values have no text, such as a number of 5,000 digits."""
    try:
        return repr(value)
    except Exception:
        return f"a {type(value).__name__}"
