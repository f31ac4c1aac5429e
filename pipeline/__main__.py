"""``python -m pipeline``, and the console command ``tgs-salt``.

A signal ends it with one line, also while the imports are still running. The rest is in ``pipeline.cli``.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from pipeline import EXIT_INTERRUPTED, INTERRUPTED


def _end(*_: object) -> None:
    os.write(2, f"error: {INTERRUPTED}\n".encode())
    os._exit(EXIT_INTERRUPTED)


def main() -> NoReturn:
    """Run the command line as the whole process; its exit status is the command's."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)

    # Imported only now: the imports take a while, and a signal may come meanwhile.
    from pipeline.system import environment, streams

    streams.open_closed()
    environment.hold()

    from pipeline.cli.main import run

    run()


if __name__ == "__main__":
    main()
