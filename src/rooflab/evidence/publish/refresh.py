"""Make everything anew that rests on the shipped constants: intervals, recorded bounds, docs/accuracy.md and the
README's table.

    python -m rooflab.evidence.publish.refresh FOLDER --held-out HELD.csv [--source-out S.csv] [--device-out D.csv]
        [--model-out M.csv] --date DATE

To be run after `rooflab.evidence.refit.serving ROWS.csv --out serving.json --held-out HELD.csv --energy ENERGY.csv
--date DATE` has written new constants and held-out predictions (a few minutes); `rooflab.evidence.refit.left_out` makes
the other files, in minutes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rooflab.evidence.publish import bounds
from rooflab.evidence.publish import page as accuracy
from rooflab.evidence.refit import intervals as interval_table
from rooflab.evidence.rows.tables import KINDS

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--held-out", required=True)
    for what in interval_table.WHOLES:
        parser.add_argument(f"--{what}-out")
    parser.add_argument("--date", required=True)
    options = parser.parse_args(arguments)
    shared = ["--held-out", options.held_out, "--date", options.date]
    for what in interval_table.WHOLES:
        if path := getattr(options, f"{what}_out"):
            shared += [f"--{what}-out", path]
    tables = [str(f) for k in KINDS if k != "training" and (f := options.folder / k / "measurements.csv").is_file()]
    interval_table.main([*tables, *shared])
    bounds.main()
    accuracy.main([str(options.folder), *shared])


if __name__ == "__main__":
    main(sys.argv[1:])
