"""A peer that trains nothing, for tests: `standin_peer.py PROCESSES THREADS JOB.npz`.

It answers as the peers' workers do, through their own end of the pipes.
"""

import sys

import numpy as np

from benchmarks.peers.protocol import Benchmark
from fedkeyboard import model


def main(processes: str, threads: str, path: str) -> None:
    job = np.load(path)
    if processes == "0":
        sys.exit("a stand-in that cannot start")
    benchmark = Benchmark()
    print("what a framework prints is no answer")
    benchmark.ready(["numpy"], f"{processes} processes, {threads} threads")

    def save(to: str) -> None:
        np.savez(to, **{name: job[name] for name in model.Weights._fields})

    while benchmark.wants_round(save):
        benchmark.took(0.25)


if __name__ == "__main__":
    main(*sys.argv[1:])
