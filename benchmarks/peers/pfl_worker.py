"""One process of pfl-research's simulation; `pfl_peer.py` starts it and says what is timed."""

import functools
import sys
import time

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import MinimizeReuseUserSampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from protocol import Benchmark
from torch_model import Job, KeyboardModel, save

# The algorithm runs until the benchmark has had enough.
FOREVER = sys.maxsize


class Rounds(TrainingProcessCallback):
    """Holds the algorithm's loop between two central iterations until the next is asked for."""

    def __init__(self, benchmark: Benchmark, model: PyTorchModel, setting: str):
        self._benchmark = benchmark
        self._setting = setting
        self._initial = model.get_parameters()
        self._began = 0.0

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        """Ends a round; begins another from the initial weights, or stops if none is wanted."""
        if central_iteration == 0:
            # Not timed: pfl also evaluates in this one, and samples 10,000 users in advance.
            self._benchmark.ready(["pfl", "torch"], self._setting)
        else:
            self._benchmark.took(time.monotonic() - self._began)
        wanted = self._benchmark.wants_round(functools.partial(save, model.variable_map))
        model.set_parameters(self._initial)
        self._began = time.monotonic()
        return not wanted, Metrics()


def federated_dataset(job: Job) -> FederatedDataset:
    """Returns the phones, each of them once in every cohort of all."""
    datasets = [PyTorchTensorDataset((rows,)) for rows in job.phones]
    return FederatedDataset(
        datasets.__getitem__,
        MinimizeReuseUserSampler(range(len(datasets))),
        # With this pfl shares the phones out between processes by the work that they are.
        user_id_to_weight=dict(enumerate(map(len, datasets))),
    )


def main() -> None:
    """Runs rounds of the job `argv[1]` with `argv[2]` threads; `argv[3]` describes the setting."""
    path, threads, setting = sys.argv[1:]
    benchmark = Benchmark()
    torch.set_num_threads(int(threads))
    job = Job.load(path)
    module = KeyboardModel(job.weights)
    model = PyTorchModel(
        module,
        local_optimizer_create=torch.optim.SGD,
        central_optimizer=torch.optim.SGD(module.parameters(), lr=1.0),
    )
    phones = federated_dataset(job)
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=FOREVER,
            evaluation_frequency=FOREVER,
            train_cohort_size=len(job.phones),
            val_cohort_size=None,
        ),
        backend=SimulatedBackend(phones, phones, postprocessors=[WeightByDatapoints()]),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_num_epochs=1,
            local_learning_rate=job.learning_rate,
            local_batch_size=job.batch_size,
        ),
        callbacks=[Rounds(benchmark, model, setting)],
    )


if __name__ == "__main__":
    main()
