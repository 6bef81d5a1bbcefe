"""
A program that knows nothing of liveness, and speaks the protocol of systemd: see sd_notify(3).

    liveness run --notify --watchdog 10 -- python notify.py

It could be written in any language. Without NOTIFY_SOCKET in its environment it works, and says nothing. On SIGTERM it
ends.
"""

from __future__ import annotations

import os
import signal
import socket
import time

stopping = False


def stop(number: int, frame: object) -> None:
    global stopping
    stopping = True


def say(text: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as box:
            box.sendto(text.encode(), path)
    except OSError:
        # The parent is gone. That is for the probe to find, and no reason to stop working.
        pass


def main() -> None:
    signal.signal(signal.SIGTERM, stop)
    # Half of the watchdog's time, in seconds.
    interval = int(os.environ.get("WATCHDOG_USEC", "2000000")) / 2_000_000
    next_ping = 0.0
    say("READY=1\nSTATUS=Working")
    while not stopping:
        if time.monotonic() >= next_ping:
            say("WATCHDOG=1")
            next_ping = time.monotonic() + interval
        # The work goes here.
        time.sleep(0.1)
    say("STOPPING=1")


if __name__ == "__main__":
    main()
