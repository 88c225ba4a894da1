"""The learning process, and the evaluation in it, that a run's settings describe."""

import functools

import tensorflow_federated as tff

from fedkeyboard.algorithms import (
    fed_avg,
    fed_sgd,
    local_training,
    mime_lite,
    schedules,
    server_optimizers,
)
from fedkeyboard.evaluation import beam, federated_evaluation, subword_scoring
from fedkeyboard.simulation import config as configs
from fedkeyboard.simulation.runs import Run
from fedkeyboard.text.subwords import SubwordTokenizer
from fedkeyboard.updates import update_round


def simulated(run: Run) -> tff.learning.templates.LearningProcess:
    """Returns the process whose phones train here."""
    client = run.config.client
    shared = {
        "length": run.sizes.length,
        "training": client_training(client),
        "weighting": client.weighting,
        "optimizer": _server_optimizer(run),
        "averaging": run.config.server.averaging,
    }
    initial = run.initial_weights()
    match client.algorithm:
        case "fedavg" | "fedprox":
            return fed_avg.learning_process(initial, schedule=_client_schedule(run), **shared)
        case "fedsgd":
            return fed_sgd.learning_process(initial, **shared)
        case "mime_lite":
            return mime_lite.learning_process(initial, **shared)


def client_training(client: configs.Client) -> local_training.LocalTraining:
    """Returns what settings ask of a phone, its learning rate before any schedule."""
    return local_training.LocalTraining(
        learning_rate=client.learning_rate,
        batch_size=client.batch_size,
        epochs=client.epochs,
        clipping_norm=client.clipping_norm,
        proximal_strength=client.proximal_strength if client.algorithm == "fedprox" else 0.0,
        dropout=client.dropout,
        bfloat16=client.bfloat16,
    )


def of_updates(run: Run) -> tff.learning.templates.LearningProcess:
    """Returns the process whose phones bring their updates; its state is that of `simulated`."""
    return update_round.learning_process(
        run.initial_weights(),
        optimizer=_server_optimizer(run),
        schedule=_client_schedule(run),
        averaging=run.config.server.averaging,
    )


def validation(run: Run) -> tff.Computation:
    """Returns the evaluation on validation users: top-k recall of words, of sub-words too."""
    sizes, tokenizer = run.sizes, run.tokenizer
    if not isinstance(tokenizer, SubwordTokenizer):
        return federated_evaluation.computation(sizes)
    rank = functools.partial(subword_scoring.rank, table=beam.pieces(tokenizer.vocabulary))
    return federated_evaluation.computation(sizes, rank)


def _server_optimizer(run: Run) -> tff.learning.optimizers.Optimizer:
    """Returns the server's optimizer of a run."""
    server = run.config.server
    return server_optimizers.build(
        server.optimizer,
        server.learning_rate,
        momentum=server.momentum,
        epsilon=server.epsilon,
        weight_decay=server.weight_decay,
        warmup_rounds=server.warmup_rounds,
        decay_rounds=server.decay_rounds,
    )


def _client_schedule(run: Run) -> schedules.Schedule | None:
    """Returns the schedule of the phones' learning rate of a run with federated averaging."""
    client = run.config.client
    return schedules.schedule(
        client.learning_rate,
        warmup_rounds=client.warmup_rounds,
        decay_rounds=client.decay_rounds,
    )
