"""How much a round sends, against what the server's optimizers really keep."""

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.algorithms import server_optimizers
from fedkeyboard.data.population import Population
from fedkeyboard.simulation import config_files
from fedkeyboard.simulation.fleet import fleet

SIZES = ["model.embedding=6", "model.units=9", "tokenizer.vocabulary_size=300"]


@pytest.mark.parametrize("name", sorted(fleet._SLOTS))
def test_mime_lite_sends_the_optimizers_state(tiny_population, name):
    state = server_optimizers.build(name, 0.1).initialize(tf.TensorSpec([1000], tf.float32))
    slots = sum(np.size(leaf) == 1000 for leaf in tf.nest.flatten(state))
    sets = [*SIZES, "rounds.cohort=5", "client.algorithm=mime_lite", f"server.optimizer={name}"]
    settings = config_files.load("simulation/configs/chitchat.toml", sets)
    shapes = model.weight_shapes(model.Sizes(vocabulary=300, **settings.model.model_dump()))
    weights = 4 * sum(int(np.prod(shape)) for shape in shapes)
    with Population.open(tiny_population) as population:
        each = fleet.of(settings, population).next_round()
    assert each.bytes_down == 5 * (1 + slots) * weights
    assert each.bytes_up == 5 * 2 * weights
