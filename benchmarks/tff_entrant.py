"""Rounds in TFF's runtime, ours or plain TFF's: `python -m benchmarks.tff_entrant WHICH JOB.npz`.

A process like those of the peers in `benchmarks/peers/`, which tell it by a line when to do what.
Rounds follow each other as in training: each goes on with the weights of the one before.
"""

import argparse
import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow_federated as tff

from benchmarks import textbook
from benchmarks.peers.protocol import Benchmark
from fedkeyboard import model
from fedkeyboard.algorithms import fed_avg, local_training, server_optimizers, templates
from fedkeyboard.runtime import session, worker


@contextlib.contextmanager
def plain_runtime(concurrent_clients: int, threads: int) -> Iterator[None]:
    """What `tff.backends.native.set_async_local_cpp_execution_context` sets up.

    But for the worker's start, which is ours for both: theirs would serve every network address.
    """
    started = worker.start(concurrent_clients, threads)
    try:
        stub = tff.framework.RemoteExecutorGrpcStub(started.channel)

        def executor(cardinalities):
            cardinalities.setdefault(tff.CLIENTS, 0)
            remote = tff.framework.RemoteExecutor(stub)
            remote.set_cardinalities(cardinalities)
            return remote

        context = tff.framework.AsyncExecutionContext(
            executor_fn=tff.framework.ResourceManagingExecutorFactory(executor),
            compiler_fn=tff.backends.native.desugar_and_transform_to_native,
            transform_args=tff.tensorflow.transform_args,
            transform_result=tff.tensorflow.transform_result,
        )
        with tff.framework.get_context_stack().install(tff.program.NativeFederatedContext(context)):
            yield
    finally:
        worker.stop(started.process)


def serve(arguments: argparse.Namespace) -> None:
    """Answers the benchmark's commands until it has no more."""
    benchmark = Benchmark()
    job = np.load(arguments.job)
    phones = [job[f"rows_{i}"] for i in range(sum(name.startswith("rows_") for name in job))]
    initial = model.Weights(*(job[name] for name in model.Weights._fields))
    batch_size, rate = int(job["batch_size"]), float(job["learning_rate"])
    length, optimizer = phones[0].shape[1] - 1, server_optimizers.build("sgd", 1.0)
    if arguments.which == "plain":
        running = plain_runtime(arguments.concurrent_clients, arguments.threads)
        process = textbook.learning_process(initial, length, rate, optimizer)
        data = [textbook.phone_data(rows, batch_size) for rows in phones]
    else:
        running = session.tff_runtime(
            concurrent_clients=arguments.concurrent_clients, threads=arguments.threads
        )
        training = local_training.LocalTraining(
            rate, batch_size, clipping_norm=1e9, bfloat16=arguments.bfloat16
        )
        process = fed_avg.learning_process(
            initial, length=length, training=training, weighting="sentences", optimizer=optimizer
        )
        data = [templates.phone_data(rows) for rows in phones]

    async def begin() -> Any:
        return await tff.program.materialize_value(process.initialize())

    async def go_on(state: Any) -> Any:
        output = process.next(state, data)
        await tff.program.materialize_value(output.metrics)
        return output.state

    async def weights(state: Any) -> Any:
        return await tff.program.materialize_value(state.global_model_weights.trainable)

    with running, asyncio.Runner() as runner:

        def save(path: str) -> None:
            updated = runner.run(weights(runner.run(go_on(first))))
            np.savez(path, **dict(zip(model.Weights._fields, updated, strict=True)))

        first = runner.run(begin())
        state = runner.run(go_on(first))
        setting = "the defaults"
        if arguments.concurrent_clients is not None:
            setting = (
                f"{arguments.concurrent_clients} phones at a time, {arguments.threads} threads"
            )
        benchmark.ready(["tensorflow-federated", "tensorflow-cpu", "numpy"], setting)
        while benchmark.wants_round(save):
            began = time.monotonic()
            state = runner.run(go_on(state))
            benchmark.took(time.monotonic() - began)


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("ours", "plain"))
    parser.add_argument("job")
    parser.add_argument("--concurrent-clients", type=int, help="default, of ours: the runtime's")
    parser.add_argument("--threads", type=int, help="default, of ours: the runtime's")
    parser.add_argument("--bfloat16", action="store_true")
    arguments = parser.parse_args()
    if arguments.which == "plain" and None in (arguments.concurrent_clients, arguments.threads):
        parser.error("plain TFF needs --concurrent-clients and --threads")
    serve(arguments)


if __name__ == "__main__":
    main()
