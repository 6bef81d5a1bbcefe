"""What the return value of a check means. This is the only place that decides it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

# Texts that are a verdict of their own, in lower case: those of Spring Boot, Consul, Elasticsearch and health+json.
_BAD_WORDS = {
    "critical", "dead", "down", "error", "fail", "failed", "failing", "failure", "false", "not_ready", "out_of_service",
    "red", "unavailable", "unhealthy", "unknown",
}  # fmt: skip
_GOOD_WORDS = {
    "alive", "available", "green", "healthy", "ok", "pass", "passed", "passing", "ready", "running", "succeeded",
    "success", "true", "up", "warn", "warning", "yellow",
}  # fmt: skip
# Keys of a mapping, or attributes of an object, whose value is its verdict.
_VERDICTS = ("status", "healthy", "ok", "up")


def refusal(value: object, by_truth: bool = False) -> str:
    """
    Why a return value does not mean success; an empty text if it does.

    True means success, and so does every other value that neither equals False nor contains a verdict of its own. A
    tuple is read as verdict and reason. These values are refused: a mapping or an object with a bad ``status``, an HTTP
    response with an error status, an exception, a list that contains False, texts such as ``DOWN``, objects that define
    themselves as false, and code that has not run, such as a generator, a function or a coroutine.

    None and empty values mean success, unless ``by_truth``: then every false value is a failure.
    """
    not_run = _not_run(value)
    if not_run:
        return f"returned {not_run}"
    if isinstance(value, tuple) and value:
        return _refusal_of_tuple(value, by_truth)
    if isinstance(value, BaseException):
        return f"returned {value!r} (raise the exception)"
    if _is_false(value, by_truth):
        return f"returned {value!r} ({'True means' if by_truth else 'True or None mean'} success)"
    if _has_bad_verdict(value):
        return f"returned {value!r}, which is not a success"
    return ""


def _refusal_of_tuple(value: tuple[object, ...], by_truth: bool) -> str:
    verdict, reasons = value[0], value[1:]
    if refusal(verdict, by_truth) or (verdict is None and any(reasons)):
        texts = [reason for reason in reasons if isinstance(reason, str) and reason]
        return f"returned {verdict!r}: {texts[0]}" if texts else f"returned {value!r}"
    # The response of a Flask view: body and status.
    if not isinstance(verdict, bool) and any(_is_error_status(reason) for reason in reasons):
        return f"returned {value!r}, which is not a success"
    return ""


def _not_run(value: object) -> str:
    """What the value is, if it is code that has not run yet; else an empty text."""
    kind = type(value)
    if hasattr(kind, "gi_frame") or hasattr(kind, "ag_frame"):
        return "a generator, whose code has not run (remove the yield)"
    if isinstance(value, (map, filter)):
        return f"a {kind.__name__} object, whose code has not run (use all(...))"
    if hasattr(kind, "__await__"):
        return f"a {kind.__name__}, which was not awaited (await it)"
    if hasattr(kind, "add_done_callback"):
        return f"a {kind.__name__}, whose result was not read (return its result)"
    # An HTTP response of werkzeug is also an application, and as such callable.
    if callable(value) and not hasattr(kind, "status_code"):
        return f"{value!r}, which was not called (return its result)"
    return ""


def _is_false(value: object, by_truth: bool) -> bool:
    if by_truth:
        return not value
    # 0 is a failure, and so is an object that defines itself as false, such as a Verdict. None and [] are not.
    return bool(value == False) or (hasattr(type(value), "__bool__") and value is not None and not value)  # noqa: E712


def _has_bad_verdict(value: object) -> bool:
    if isinstance(value, (str, bytes)):
        return _word(value) in _BAD_WORDS
    if isinstance(value, Enum):
        return _word(value.name) in _BAD_WORDS or bool(refusal(value.value))
    if isinstance(value, (list, set, frozenset)):
        return any(item is False for item in value)
    if isinstance(value, Mapping):
        return any(not _is_good(item) for key, item in value.items() if str(key).lower() in _VERDICTS)
    if _is_error_status(getattr(value, "status_code", None)):
        return True
    # A response of Flask may contain JSON.
    get_json = getattr(value, "get_json", None)
    if get_json is not None and _has_bad_verdict(get_json(silent=True)):
        return True
    return any(_is_bad_attribute(getattr(value, name, None)) for name in _VERDICTS)


def _is_good(verdict: object) -> bool:
    """Whether a mapping's verdict is known as a good one. A word that is not known is not."""
    if isinstance(verdict, (str, bytes)):
        return _word(verdict) in _GOOD_WORDS
    return not refusal(verdict, by_truth=True) and not _is_error_status(verdict)


def _is_bad_attribute(verdict: object) -> bool:
    """Unlike a mapping's keys, attributes with these names are often something else, for example a method."""
    if isinstance(verdict, (str, bytes, Enum)):
        return _has_bad_verdict(verdict)
    return verdict is False or _is_error_status(verdict)


def _is_error_status(value: object) -> bool:
    return isinstance(value, int) and 400 <= value <= 599


def _word(text: str | bytes) -> str:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "_".join(shown.lower().split())
