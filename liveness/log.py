"""The logger ``liveness``: one line for each thing that an operator should know, and never an exception."""

from __future__ import annotations

INFO, WARNING = 20, 30


def info(message: str, *args: object) -> None:
    """Logs a line at level INFO."""
    _log(INFO, message, args)


def warning(message: str, *args: object) -> None:
    """Logs a line at level WARNING."""
    _log(WARNING, message, args)


def _log(level: int, message: str, args: tuple[object, ...]) -> None:
    # Imported when there is something to log. Nothing may fail here: a handler may raise, and a signal handler that
    # logs may have interrupted this very import.
    try:
        import logging

        logging.getLogger("liveness").log(level, f"liveness: {message}", *args)
    except Exception:
        pass
