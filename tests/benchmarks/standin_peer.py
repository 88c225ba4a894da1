"""A peer that trains nothing, for tests: `standin_peer.py PROCESSES THREADS JOB.npz`.

It answers as the peers' workers do, through their own end of the pipes.
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks" / "peers"))

from protocol import Benchmark


def main(processes: str, threads: str, path: str) -> None:
    if processes == "0":
        sys.exit("a stand-in that cannot start")
    job = np.load(path)
    benchmark = Benchmark()
    print("what a framework prints is no answer")
    benchmark.ready(["numpy"], f"{processes} processes, {threads} threads")

    def save(to: str) -> None:
        np.savez(to, **{name: job[name] for name in job if not name.startswith("rows_")})

    while benchmark.wants_round(save):
        benchmark.took(0.25)


if __name__ == "__main__":
    main(*sys.argv[1:])
