"""The keyboard's model in PyTorch, for both peers, and the job that they are given.

The equations are those of `fedkeyboard/model.py`: a CIFG-LSTM with a recurrent projection and tied
embeddings, over padded batches, differentiated by autograd. As in a PyTorch user's own code, the
input product and the softmax layer are one product each over all time steps, and only the
recurrence is a Python loop.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F

PAD = 0
WEIGHTS = (
    "embedding",
    "input_kernel",
    "recurrent_kernel",
    "bias",
    "projection",
    "output_bias",
)


@dataclasses.dataclass(frozen=True)
class Job:
    """What the benchmark asks of a peer: rounds of federated averaging, all from the same weights.

    Attributes:
      phones: Each phone's int64 `[n, T + 1]` sentences, padded with 0 at the end.
      weights: The float32 initial weights by their names in `fedkeyboard.model.Weights`.
      batch_size: Sentences in a batch; the last of a phone may have fewer.
      learning_rate: Of the phones' SGD.
    """

    phones: list[torch.Tensor]
    weights: dict[str, np.ndarray]
    batch_size: int
    learning_rate: float

    @classmethod
    def load(cls, path: str) -> "Job":
        """Reads the benchmark's `.npz` file."""
        with np.load(path) as arrays:
            phones = sum(name.startswith("rows_") for name in arrays)
            return cls(
                phones=[torch.from_numpy(arrays[f"rows_{i}"]).long() for i in range(phones)],
                weights={name: arrays[name] for name in WEIGHTS},
                batch_size=int(arrays["batch_size"]),
                learning_rate=float(arrays["learning_rate"]),
            )


class KeyboardModel(torch.nn.Module):
    """The language model; its parameters have the names of `fedkeyboard.model.Weights`."""

    def __init__(self, weights: dict[str, np.ndarray]):
        super().__init__()
        for name in WEIGHTS:
            self.register_parameter(name, torch.nn.Parameter(torch.tensor(weights[name])))

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Returns the next word's logits, `[B, T, V]`, after each of int64 `[B, T]` words."""
        from_input = F.embedding(words, self.embedding) @ self.input_kernel + self.bias
        units, width = self.projection.shape
        output = from_input.new_zeros(len(words), width)
        cell = from_input.new_zeros(len(words), units)
        outputs = []
        for gates in from_input.unbind(dim=1):
            gates = gates + output @ self.recurrent_kernel
            forget, output_gate, candidate = gates.chunk(3, dim=1)
            forget = torch.sigmoid(forget)
            cell = forget * cell + (1 - forget) * torch.tanh(candidate)
            output = (torch.sigmoid(output_gate) * torch.tanh(cell)) @ self.projection
            outputs.append(output)
        return F.linear(torch.stack(outputs, dim=1), self.embedding, self.output_bias)

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        """Returns the mean cross-entropy over the real targets of int64 `[B, T + 1]` sentences."""
        logits = self(rows[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), ignore_index=PAD)

    def metrics(self, rows: torch.Tensor) -> dict:
        """Returns no metrics: no peer evaluates, but pfl calls this in its first iteration."""
        del rows
        return {}


def save(weights: Mapping[str, torch.Tensor], path: str) -> None:
    """Writes weights by name as an `.npz` file."""
    with open(path, "wb") as file:
        np.savez(file, **{name: weight.detach().numpy() for name, weight in weights.items()})
