"""The command `gradops`; without that script `python -m jobs train CONFIG`, or `torchrun -m jobs train CONFIG`."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command of the command line."""
    try:
        from pipeline.runtime.openmp import let_waiting_threads_sleep

        let_waiting_threads_sleep()
        from jobs.cli import app  # takes a moment, in which Ctrl-C should print no traceback

        if "_GRADOPS_COMPLETE" in os.environ:
            from jobs.completion import know_shells  # asked by a shell at the press of its key

            know_shells()
        app(prog_name="gradops")
    except KeyboardInterrupt:
        os.write(2, b"interrupted\n")
        sys.exit(130)
    finally:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to save while the interpreter ends


if __name__ == "__main__":
    main()
