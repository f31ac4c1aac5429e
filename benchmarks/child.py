"""One command of the pipeline in a process of its own, with its time and its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

CODE = """
import json, resource, sys, threading, time
from pathlib import Path
from pipeline.cli.main import main

own = [0.0]

def watch():
    # Memory of the process itself: the system can reclaim pages of memory-mapped files at any time.
    while True:
        text = Path("/proc/self/status").read_text()
        own[0] = max(own[0], int(text.split("RssAnon:")[1].split()[0]) / 1024)
        time.sleep(0.02)

if Path("/proc/self/status").exists():
    threading.Thread(target=watch, daemon=True).start()
started = time.monotonic()
status = main(sys.argv[1:])
seconds = time.monotonic() - started
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps([seconds, sum(each.ru_utime + each.ru_stime for each in used), own[0]]))
sys.exit(status)
"""


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        seconds: wall time, without the start of Python.
        core_seconds: of all its threads and processes.
        memory: largest size of the process in MiB, without memory-mapped files.
    """

    seconds: float
    core_seconds: float
    memory: float


def run(arguments: Sequence[str]) -> Cost:
    """Run ``python -m pipeline`` with some arguments; raises ``CalledProcessError`` where it fails."""
    ran = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True)
    return Cost(*json.loads(ran.stdout.splitlines()[-1]))
