"""Draws figures from the committed records: `python -m analysis [name …]`, all of them without a name."""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt

from analysis.select import load_runs
from analysis.studies import STUDIES

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *STUDIES], help=f"of {', '.join(STUDIES)}")
    parser.add_argument("--results", type=Path, default=HERE.parent / "results" / "runs")
    parser.add_argument("--out", type=Path, default=HERE / "figures")
    args = parser.parse_args()
    runs = load_runs(args.results)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or STUDIES:
        figure = STUDIES[name](runs)
        if figure is None:
            print(f"{name}: no records yet")
            continue
        figure.savefig(args.out / f"{name}.png", dpi=120, metadata={"Software": None})
        plt.close(figure)
        print(f"{name}: {args.out / f'{name}.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
