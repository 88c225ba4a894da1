"""The default: the weighted mean over the cohort, of the updates that are finite."""

import tensorflow_federated as tff

from fedkeyboard.aggregators.rejection import RejectNonFiniteFactory


def factory() -> tff.aggregators.WeightedAggregationFactory:
    """Returns the factory.

    A cohort of empty phones has total weight 0: its mean is 0, not NaN.
    """
    return RejectNonFiniteFactory(tff.aggregators.MeanFactory(no_nan_division=True))
