"""The server's optimizers: TFF's, with the settings of Reddi et al. 2020 (arXiv 2003.00295).

With D the cohort's mean update, taken for a gradient, m its running mean and t the round from 1,
TFF's take the steps

    sgd         w -= rate * D
    momentum    v = momentum * v + D;  w -= rate * v
    adagrad     v += D^2;  w -= rate * D / sqrt(v + epsilon^2)
    adam        v = 0.99 v + 0.01 D^2;  w -= rate * c_t * m / (sqrt(v) + epsilon)
    adamw       Adam's, and  w -= rate * weight_decay * w  from where it began
    yogi        v += 0.01 sign(D^2 - v) D^2;  w -= rate * c_t * m / (sqrt(v) + epsilon)

    m = momentum * m + (1 - momentum) * D;  c_t = sqrt(1 - 0.99^t) / (1 - momentum^t)

Algorithm 2 of the paper differs. It has no c_t, the correction of Kingma and Ba 2015 (arXiv
1412.6980, section 2), which with momentum 0.9 is 1 at first, 0.47 in round 12 and 0.98 in round
300. Its v begins with epsilon^2 or more, as Yogi's does here; Adagrad's square under the root is
the same, and in place of the epsilon that the paper adds to every root. TFF's Adam begins with 0.
AdamW's decay is that of Loshchilov and Hutter 2019 (arXiv 1711.05101, algorithm 2).
"""

from typing import Literal

import tensorflow_federated as tff

from fedkeyboard.algorithms import schedules

Name = Literal["sgd", "momentum", "adagrad", "adam", "adamw", "yogi"]

# Decay of the second moment, section 5.1 of the paper.
_BETA_2 = 0.99


def build(
    name: Name,
    learning_rate: float,
    *,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    weight_decay: float = 0.0,
    warmup_rounds: int | None = None,
    decay_rounds: int | None = None,
) -> tff.learning.optimizers.Optimizer:
    """Returns TFF's optimizer.

    Args:
      name: FedAvg (`sgd`), FedAvgM, FedAdagrad, FedAdam or FedYogi, as Reddi et al. call them;
        `adamw` is FedAdam with weight decay.
      learning_rate: The largest.
      momentum: Also the decay of Adam's and Yogi's first moment; of no meaning for the others.
      epsilon: The paper's tau, of Adagrad, Adam and Yogi.
      weight_decay: AdamW's.
      warmup_rounds: See `schedules.schedule`.
      decay_rounds: The same.
    """
    optimizers = tff.learning.optimizers
    match name:
        case "sgd":
            optimizer = optimizers.build_sgdm(learning_rate)
        case "momentum":
            optimizer = optimizers.build_sgdm(learning_rate, momentum=momentum)
        case "adagrad":
            optimizer = optimizers.build_adagrad(
                learning_rate, initial_preconditioner_value=0.0, epsilon=epsilon**2
            )
        case "adam":
            optimizer = optimizers.build_adam(
                learning_rate, beta_1=momentum, beta_2=_BETA_2, epsilon=epsilon
            )
        case "adamw":
            optimizer = optimizers.build_adamw(
                learning_rate,
                beta_1=momentum,
                beta_2=_BETA_2,
                epsilon=epsilon,
                weight_decay=weight_decay,
            )
        case "yogi":
            optimizer = optimizers.build_yogi(
                learning_rate,
                beta_1=momentum,
                beta_2=_BETA_2,
                epsilon=epsilon,
                initial_preconditioner_value=epsilon**2,
            )
    rate = schedules.schedule(learning_rate, warmup_rounds=warmup_rounds, decay_rounds=decay_rounds)
    if rate is None:
        return optimizer
    return optimizers.schedule_learning_rate(optimizer, rate)
