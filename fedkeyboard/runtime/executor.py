"""TFF's remote executor, with phones' data and other executors' values handed over cheaply."""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_federated.proto.v0 import executor_pb2
from tensorflow_federated.python.core.impl.executors.remote_executor import RemoteValue

# How many computations may hand a value on before it is copied. Fewer copy more often (17 MB, the
# state of Adam for 1.4M weights, take 90 ms), more keep more rounds' values in the worker.
_PASSES = 8


class Executor(tff.framework.RemoteExecutor):
    """An executor in the worker, for one number of clients, which the worker forgets with it.

    A result in the worker keeps the arguments that it was computed from: TFF runs a call as a
    `std::packaged_task`, and the result is a future that shares the task's state and so its
    captures. If each round takes the last one's result, all rounds' values stay, until by chance
    one was ready before it was asked for. Here a value that came by several such passes is copied,
    by way of this process, and the chain ends.
    """

    def __init__(self, stub: tff.framework.RemoteExecutorStub, clients: int):
        super().__init__(stub)
        self.set_cardinalities({tff.CLIENTS: clients})

    def __del__(self):
        self.close()

    async def create_value(self, value: Any, type_spec: tff.Type | None = None) -> RemoteValue:
        """Sends a value to the worker, as TFF's does.

        TFF writes a client's data set by building and tracing it in TensorFlow, a millisecond each;
        one that holds a single array is written here from a template.
        """
        if _is_one_array_each(value, type_spec):
            return self._send(_one_array_each(value, type_spec), type_spec)
        return await super().create_value(value, type_spec)

    async def create_call(self, comp: RemoteValue, arg: RemoteValue | None = None) -> RemoteValue:
        """Calls a computation, as TFF's does; the result has passed as often as the argument."""
        return _passed(await super().create_call(comp, arg), [arg])

    async def create_struct(self, elements: Any) -> RemoteValue:
        """Makes a structure of values, as TFF's does."""
        values = tff.structure.from_container(elements)
        return _passed(await super().create_struct(values), values)

    async def create_selection(self, source: RemoteValue, index: int) -> RemoteValue:
        """Selects an element of a structure, as TFF's does."""
        return _passed(await super().create_selection(source, index), [source])

    def take(self, value: RemoteValue) -> RemoteValue:
        """Returns a value as this executor's own: another's, and an old one of its own, as a copy.

        The copy is passed on without a look at it.
        """
        executor = value._executor
        if executor is self and _passes(value) < _PASSES:
            return value
        request = executor_pb2.ComputeRequest(
            executor=executor._executor_id, value_ref=value.reference
        )
        return self._send(executor._stub.compute(request).value, value.type_signature)

    def _send(self, value: executor_pb2.Value, type_spec: tff.Type) -> RemoteValue:
        request = executor_pb2.CreateValueRequest(executor=self._executor_id, value=value)
        return RemoteValue(self._stub.create_value(request).value_ref, type_spec, self)

    def _dispose(
        self, value_ref: executor_pb2.ValueRef, value_executor_id: executor_pb2.ExecutorId
    ) -> None:
        # At once, and from any thread: TFF's collects values in a list that is not locked.
        if value_executor_id == self._executor_id:
            self._stub.dispose(
                executor_pb2.DisposeRequest(executor=value_executor_id, value_ref=[value_ref])
            )


def _passes(value: RemoteValue | None) -> int:
    return getattr(value, "passes", 0)


def _passed(value: RemoteValue, origins: Iterable[RemoteValue | None]) -> RemoteValue:
    value.passes = max(map(_passes, origins), default=0)
    return value


def _is_one_array_each(value: Any, type_spec: tff.Type | None) -> bool:
    """Whether `value` is a cohort's data sets, each the list of one array."""
    return (
        isinstance(type_spec, tff.FederatedType)
        and isinstance(type_spec.member, tff.SequenceType)
        and isinstance(type_spec.member.element, tff.TensorType)
        and not type_spec.all_equal
        and all(
            isinstance(elements, list)
            and len(elements) == 1
            and isinstance(elements[0], np.ndarray)
            and type_spec.member.element.is_assignable_from(
                tff.TensorType(elements[0].dtype.type, elements[0].shape)
            )
            for elements in value
        )
    )


def _one_array_each(value: list[list[np.ndarray]], type_spec: tff.FederatedType) -> Any:
    element_type = tff.types.serialize_type(type_spec.member.element)
    cohort = executor_pb2.Value()
    cohort.federated.type.CopyFrom(tff.types.serialize_type(type_spec).federated)
    for (array,) in value:
        sequence = cohort.federated.value.add().sequence
        sequence.serialized_graph_def = _data_set(array)
        sequence.element_type.CopyFrom(element_type)
    return cohort


def _data_set(array: np.ndarray) -> bytes:
    """What `tf.data.Dataset.from_tensors(array)` is to TFF: a serialised graph."""
    graph = tf.compat.v1.GraphDef.FromString(_template(array.dtype, array.ndim))
    shape = tf.TensorShape(array.shape).as_proto()
    for node in graph.node:
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            tensor.tensor_shape.CopyFrom(shape)
            tensor.tensor_content = array.tobytes()
        elif node.op == "TensorDataset":
            node.attr["output_shapes"].list.shape[0].CopyFrom(shape)
    return graph.SerializeToString()


@functools.cache
def _template(dtype: np.dtype, dimensions: int) -> bytes:
    # TensorFlow writes a tensor of several bytes as these bytes, and others as numbers.
    data_set = tf.data.Dataset.from_tensors(
        np.arange(8).reshape([8] + [1] * (dimensions - 1)).astype(dtype)
    )
    variant = tf.data.experimental.to_variant(data_set)
    return tf.raw_ops.DatasetToGraphV2(input_dataset=variant).numpy()
