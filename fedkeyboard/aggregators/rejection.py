"""Leaves out of an aggregate what is not finite, and counts it.

TFF's own algorithms do that in their client work (`reject_non_finite_update`). Here it is a part of
the aggregator, so that it holds for whatever the updates come from, and one that needs it can be
wrapped: `rejection.RejectNonFiniteFactory(tff.learning.robust_aggregator())`.
"""

import collections

import tensorflow as tf
import tensorflow_federated as tff


class RejectNonFiniteFactory(tff.aggregators.WeightedAggregationFactory):
    """Aggregates by another factory, to which a value that is not finite is 0 with weight 0.

    The state is that factory's. Measured are `rejected`, int32, how many values were not finite,
    and `inner`, what that factory measures.
    """

    def __init__(self, inner: tff.aggregators.WeightedAggregationFactory):
        self._inner = inner

    def create(
        self, value_type: tff.Type, weight_type: tff.TensorType
    ) -> tff.templates.AggregationProcess:
        """Returns the process for values, of floating point, and weights of these types."""
        inner = self._inner.create(value_type, weight_type)

        @tff.tensorflow.computation(value_type, weight_type)
        @tf.function(autograph=False)
        def checked(value, weight):
            finite = tf.reduce_all(
                [
                    tf.reduce_all(tf.math.is_finite(part))
                    for part in (*tf.nest.flatten(value), tf.cast(weight, tf.float32))
                ]
            )
            kept = tf.cond(
                finite, lambda: value, lambda: tf.nest.map_structure(tf.zeros_like, value)
            )
            counts = tf.where(finite, weight, tf.zeros_like(weight))
            return kept, counts, tf.cast(tf.logical_not(finite), tf.int32)

        @tff.federated_computation(
            inner.initialize.type_signature.result,
            tff.FederatedType(value_type, tff.CLIENTS),
            tff.FederatedType(weight_type, tff.CLIENTS),
        )
        def next_fn(state, value, weight):
            kept, counts, rejected = tff.federated_map(checked, (value, weight))
            output = inner.next(state, kept, counts)
            measured = collections.OrderedDict(
                rejected=tff.federated_sum(rejected), inner=output.measurements
            )
            return tff.templates.MeasuredProcessOutput(
                output.state, output.result, tff.federated_zip(measured)
            )

        return tff.templates.AggregationProcess(inner.initialize, next_fn)
