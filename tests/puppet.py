"""
A process on strings: reads Python from its standard input, runs it, answers with what came of it.

Run as a program by stage.Puppet; nothing of liveness is replaced in it. Two arguments name FIFOs to use instead of its
standard input and output.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from typing import Any, TextIO


def main() -> None:
    questions: TextIO
    if sys.argv[1:]:
        questions, answers = open(sys.argv[1]), open(sys.argv[2], "w")  # noqa: SIM115 - for as long as it runs
    else:
        # What it prints itself is not an answer.
        questions, answers = sys.stdin, os.fdopen(fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 200), "w")
    os.dup2(2, 1)
    world: dict[str, Any] = {"__name__": "puppet"}
    for line in questions:
        code = json.loads(line)
        try:
            try:
                answer = {"value": eval(compile(code, "string", "eval"), world)}
            except SyntaxError:
                exec(compile(code, "string", "exec"), world)
                answer = {"value": None}
        except Exception as error:
            answer = {"error": type(error).__name__, "text": str(error)}
        print(json.dumps(answer, default=repr), file=answers, flush=True)


main()
