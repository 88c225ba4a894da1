"""The peer Flower 1.41: `PYTHON benchmarks/peers/flower_peer.py ACTORS THREADS JOB.npz`.

Flower's simulation engine (Beutel et al. 2020, arXiv 2007.14390) with its Ray backend. The apps are
those of its PyTorch tutorial: a `ServerApp` that starts the `FedAvg` strategy, and a `ClientApp`
(`flower_client.py`) that runs in Ray actors. Every phone is a node and takes part in each round.
`run_simulation`, which Flower would replace by its command `flwr run`, runs the engine in this
process, where the benchmark's commands arrive.

Timed is `FedAvg.start` for one round, and the model's update: sampling, the messages with the
weights to each phone and back, the phones' training, and the average. Flower looks for messages
every 0.1 s at either end, which is in it.

The tutorial's phones send their weights; these send the difference that training made. Averaging
the weights of 60 phones, nearly equal and added up in float32, put the update off by 2e-4 of its
norm; averaging the differences is as exact as in the other frameworks, and took no longer.

`protocol.py` has the benchmark's commands.
"""

import os
import sys
import tempfile
import time

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Off, Ray takes this machine's address to be 127.0.0.1 and listens nowhere else, on Linux as well.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

import flower_client
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from protocol import Benchmark
from torch_model import Job, save


class AllPhones(FedAvg):
    """Federated averaging, which stops at a phone's error instead of averaging the others."""

    def aggregate_train(self, server_round, replies):
        """Averages the phones' weights by their sentences."""
        replies = list(replies)
        for reply in replies:
            if reply.has_error():
                raise RuntimeError(reply.error.reason)
        return super().aggregate_train(server_round, replies)


def server_app(actors: int, threads: int, benchmark: Benchmark, path: str, job: Job) -> ServerApp:
    """Returns the server's part: a round for each command."""
    phones = len(job.phones)
    initial = ArrayRecord({name: torch.from_numpy(value) for name, value in job.weights.items()})
    strategy = AllPhones(fraction_evaluate=0.0, min_train_nodes=phones, min_available_nodes=phones)
    config = ConfigRecord({"job": path, "threads": threads})
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        del context

        def run_round() -> dict[str, torch.Tensor]:
            result = strategy.start(grid, initial, num_rounds=1, train_config=config)
            update = result.arrays.to_torch_state_dict()
            return {name: torch.from_numpy(job.weights[name]) + update[name] for name in update}

        def save_weights(path: str) -> None:
            save(weights, path)

        # Not timed: this one waits for the engine to start, and for the actors to load the job.
        weights = run_round()
        benchmark.ready(["flwr", "ray", "torch"], f"{actors} actors, {threads} threads each")
        while benchmark.wants_round(save_weights):
            began = time.monotonic()
            weights = run_round()
            benchmark.took(time.monotonic() - began)

    return app


def main() -> None:
    """Reads the arguments and runs the job's rounds."""
    benchmark = Benchmark()
    actors, threads, path = int(sys.argv[1]), int(sys.argv[2]), os.path.abspath(sys.argv[3])
    job = Job.load(path)
    with tempfile.TemporaryDirectory(prefix="flower-") as directory:
        os.environ["FLWR_HOME"] = directory
        run_simulation(
            server_app(actors, threads, benchmark, path, job),
            flower_client.app,
            num_supernodes=len(job.phones),
            backend_config={
                "client_resources": {"num_cpus": threads, "num_gpus": 0.0},
                "init_args": {
                    "num_cpus": actors * threads,
                    "include_dashboard": False,
                    "_temp_dir": directory,
                },
            },
        )


if __name__ == "__main__":
    main()
