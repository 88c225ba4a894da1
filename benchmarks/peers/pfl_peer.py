"""The peer pfl-research 0.6: `PYTHON benchmarks/peers/pfl_peer.py PROCESSES THREADS JOB.npz`.

Apple's simulator of private federated learning (Granqvist et al. 2024, arXiv 2404.06430), used as
its guide to distributed simulations says: the same program in several processes that share the
cohort out by its sentences, train their phones one by one, and add the updates up by
`torch.distributed` (gloo). The program is `pfl_worker.py`; this one starts it and hands on the
benchmark's commands.

Timed is one central iteration of `FederatedAveraging.run`, from the moment that the loop is let go
on to its callbacks at the iteration's end: sampling, the phones' training, the sum over processes
and the model's update. The weights are set back before.

`protocol.py` has the benchmark's commands.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys

import torch.distributed

WORKER = pathlib.Path(__file__).with_name("pfl_worker.py")


def loopback_store() -> torch.distributed.TCPStore:
    """Returns the store by which the processes find each other, on a free port of this machine.

    The one that the first process would start itself listens on every network address.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        return torch.distributed.TCPStore(
            host, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach()
        )


def start(
    processes: int, threads: int, job: str, store: torch.distributed.TCPStore
) -> list[subprocess.Popen]:
    """Starts the simulation's processes, as pfl's guide to distributed simulations has it."""
    setting = f"{processes} processes, {threads} threads each"
    return [
        subprocess.Popen(
            [sys.executable, WORKER, job, str(threads), setting],
            env={
                **os.environ,
                "PFL_WORKER_ADDRESSES": ",".join(processes * [f"{store.host}:{store.port}"]),
                "PFL_WORKER_RANK": str(rank),
                # The first process finds the store there and starts none.
                "TORCHELASTIC_USE_AGENT_STORE": "True",
                "GLOO_SOCKET_IFNAME": "lo",
            },
            stdin=subprocess.PIPE,
            # The first process answers the benchmark.
            stdout=None if rank == 0 else subprocess.DEVNULL,
            text=True,
            bufsize=1,
            process_group=0,
        )
        for rank in range(processes)
    ]


def reap(worker: subprocess.Popen) -> int:
    """Waits for a worker's end; returns its exit code."""
    code = worker.wait()
    # pfl's process that samples users outlives a worker that was killed, with its sockets open:
    # the other workers would wait for it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    return code


def main() -> None:
    """Hands the benchmark's commands on."""
    store = loopback_store()  # Serves for as long as it is referred to.
    processes, threads, job = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    workers = start(processes, threads, job, store)
    # The benchmark shall see the end of the answers when the process that answers dies.
    os.dup2(2, 1)
    with concurrent.futures.ThreadPoolExecutor(processes) as reapers:
        codes = reapers.map(reap, workers)
        try:
            # A worker that died has said why, and the benchmark will see the end of the answers.
            with contextlib.suppress(BrokenPipeError):
                for line in sys.stdin:
                    for worker in workers if line.strip() == "round" else workers[:1]:
                        worker.stdin.write(line)
        finally:
            for worker in workers:
                with contextlib.suppress(BrokenPipeError):
                    worker.stdin.close()
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
