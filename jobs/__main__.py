"""The commands without the script `gradops`: `python -m jobs train CONFIG`, `torchrun -m jobs train CONFIG`."""

from __future__ import annotations

from jobs.cli import app

if __name__ == "__main__":
    app(prog_name="gradops")
