"""``python -m pipeline``: from the first moment on, a signal ends it in one line. The rest is in ``command_line``."""

from __future__ import annotations

import os
import signal

from pipeline import EXIT_INTERRUPTED, INTERRUPTED


def _end(*_: object) -> None:
    os.write(2, f"error: {INTERRUPTED}\n".encode())
    os._exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)

    from pipeline.cli.main import run

    run()
