"""Where TFF's computations run: cohorts in subrounds, results that stay in the worker.

A `tff.program.FederatedContext` over TFF's remote executor, compiler and mergeable form. What
`tff.program.NativeFederatedContext` over `tff.framework.AsyncExecutionContext` lacks:

- It fetches the server's state from the worker and sends it back in every round; with Adam's
  moments that takes as long as ten small phones train. Here a result stays in the worker until it
  is materialised, and goes by reference into the next computation.
- The worker holds every update of a cohort until all are there. Here a large cohort is split into
  subrounds whose sums are merged, two of them at a time so that no core waits for the last phone of
  one, and memory does not grow with the cohort. (`tff.framework.MergeableCompExecutionContext` has
  subrounds, but always as many, and sends the state to each.)

The aggregator sees each phone's own update all the same: a subround is TFF's `up_to_merge`, the
part of a computation up to the sums over its clients. A computation with one sum that depends on
another cannot be split so; its cohorts run whole.
"""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import tensorflow_federated as tff
from tensorflow_federated.python.core.impl.execution_contexts.compiler_pipeline import (
    CompilerPipeline,
)
from tensorflow_federated.python.core.impl.executors.remote_executor import RemoteValue

from fedkeyboard import cuts
from fedkeyboard.runtime import structures
from fedkeyboard.runtime.executor import Executor
from fedkeyboard.runtime.references import Part, Reference

_LOG = logging.getLogger("fedkeyboard")

# Most phones of a subround: enough that to hand over their sum costs little beside them.
_SUBROUND = 32
_AT_ONCE = 2
# Cohorts of ever other sizes would fill the worker with executors.
_EXECUTORS = 4


class _Form(NamedTuple):
    """A computation split at its sums over the clients.

    Attributes:
      up_to_merge: Takes the computation's argument for some of the clients; returns their sums.
      merge: Adds two of these.
      after_merge: Takes an argument of the computation, whatever its clients, and all the sums.
    """

    up_to_merge: tff.Computation
    merge: tff.Computation
    after_merge: tff.Computation


class FederatedContext(tff.program.FederatedContext):
    """Runs computations in the worker, one at a time."""

    def __init__(self, executor_fn: Callable[[int], Executor], loop: asyncio.AbstractEventLoop):
        """Initializes the context.

        Args:
          executor_fn: Makes the executor for a number of clients.
          loop: An event loop of another thread than the caller's: the executor's calls block.
        """
        self._executor_fn = executor_fn
        self._loop = loop
        self._turn = asyncio.Lock()
        self._compiler = CompilerPipeline(tff.backends.native.desugar_and_transform_to_native)
        # By number of clients; and the computations that were sent to each.
        self._executors: dict[int, Executor] = {}
        self._sent: dict[Executor, dict[tff.Computation, RemoteValue]] = {}
        self._forms: dict[tff.Computation, _Form | None] = {}

    def invoke(self, comp: tff.Computation, arg: Any) -> Any:
        """Starts `comp` and returns references to its result; an event loop must be running.

        Args:
          comp: The computation.
          arg: Its argument: values, or references that an earlier call returned.

        Raises:
          ValueError: If the result is not at the server.
        """
        result_type = comp.type_signature.result
        if not tff.program.contains_only_server_placed_data(result_type):
            raise ValueError(f"a result must be at the server; this is {result_type}")
        running = self._submit(self._run(comp, arg))
        if isinstance(result_type, tff.StructType):
            elements = enumerate(tff.structure.iter_elements(result_type))
            references = tff.structure.Struct(
                (name, Part(self._submit, running, index, part_type).references())
                for index, (name, part_type) in elements
            )
        else:
            references = Part(self._submit, running, None, result_type).references()
        return tff.types.type_to_py_container(references, result_type)

    def close(self) -> None:
        """Forgets executors and computations; what comes after this fails."""
        self._sent.clear()
        self._executors.clear()
        self._forms.clear()

    def _submit(self, coroutine: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        """Runs a coroutine in the context's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _run(self, comp: tff.Computation, arg: Any) -> RemoteValue:
        async with self._turn:
            parameter = comp.type_signature.parameter
            clients = _number_of_clients(arg, parameter)
            form = self._form(comp) if clients > _SUBROUND else None
            if form is not None:
                result = await self._run_in_subrounds(form, arg, parameter, clients)
            else:
                executor = self._executor(clients)
                if parameter is not None:
                    shared = await _send_shared(executor, arg, parameter)
                    arg = await _send(executor, shared, parameter)
                result = await self._call(executor, comp, arg)
            result.passes += 1  # See Executor.
            return result

    async def _run_in_subrounds(
        self, form: _Form, arg: Any, parameter: tff.Type, clients: int
    ) -> RemoteValue:
        subrounds = _subrounds(clients)
        sizes = set(cuts.lengths(subrounds))
        executors = {size: self._executor(size) for size in sizes}
        shared = {
            executor: await _send_shared(executor, arg, parameter)
            for executor in executors.values()
        }
        # Of each executor: an argument, and the sum of the subrounds so far.
        arguments: dict[Executor, RemoteValue] = {}
        sums: dict[Executor, RemoteValue] = {}
        lock = threading.Lock()
        waiting = subrounds[::-1]
        # Here, so that two threads do not both compile them.
        for executor in executors.values():
            for comp in (form.up_to_merge, form.merge):
                await self._computation(executor, comp)

        async def run_one(subround: slice) -> None:
            executor = executors[subround.stop - subround.start]
            argument = await _send(executor, shared[executor], parameter, subround)
            result = await self._call(executor, form.up_to_merge, argument)
            while True:
                with lock:
                    arguments[executor] = argument
                    other = sums.pop(executor, None)
                    if other is None:
                        sums[executor] = result
                        return
                pair = await executor.create_struct([other, result])
                result = await self._call(executor, form.merge, pair)

        async def run_some() -> None:
            try:
                while True:
                    with lock:
                        if not waiting:
                            return
                        subround = waiting.pop()
                    await run_one(subround)
            finally:
                waiting.clear()  # After an error the other thread need not go on.

        outcomes = await asyncio.gather(
            *(_in_thread(run_some) for _ in range(_AT_ONCE)), return_exceptions=True
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        home = executors[max(sizes)]
        total = sums.pop(home)
        for value in sums.values():
            pair = await home.create_struct([total, home.take(value)])
            total = await self._call(home, form.merge, pair)
        argument = await home.create_struct([arguments[home], total])
        return await self._call(home, form.after_merge, argument)

    async def _call(
        self, executor: Executor, comp: tff.Computation, argument: RemoteValue | None
    ) -> RemoteValue:
        return await executor.create_call(await self._computation(executor, comp), argument)

    async def _computation(self, executor: Executor, comp: tff.Computation) -> RemoteValue:
        """Returns a computation in the worker, sent once."""
        sent = self._sent[executor]
        if comp not in sent:
            compiled = self._compiler.compile(comp)
            sent[comp] = await executor.create_value(compiled, compiled.type_signature)
        return sent[comp]

    def _form(self, comp: tff.Computation) -> _Form | None:
        if comp not in self._forms:
            self._forms[comp] = _mergeable(comp)
        return self._forms[comp]

    def _executor(self, clients: int) -> Executor:
        executor = self._executors.pop(clients, None)
        if executor is None:
            executor = self._executor_fn(clients)
            self._sent[executor] = {}
        self._executors[clients] = executor
        if len(self._executors) > _EXECUTORS:
            # The least recently used. It ends with the last reference to a value that it holds.
            del self._sent[self._executors.pop(next(iter(self._executors)))]
        return executor


def _mergeable(comp: tff.Computation) -> _Form | None:
    """Splits a computation at its sums; None if it cannot be."""
    try:
        form = tff.backends.native.compile_to_mergeable_comp_form(comp)
    except ValueError as error:
        _LOG.warning(
            "a cohort runs whole, in memory that grows with it, because the computation has sums "
            "that depend on each other (%s)",
            " ".join(str(error).split())[:200],
        )
        return None
    partial = tff.FederatedType(form.merge.type_signature.result, tff.SERVER)

    # TFF's own is for values without a placement, which the worker would have to give up for it.
    @tff.federated_computation(partial, partial)
    def merge(one, other):
        return tff.federated_map(form.merge, (one, other))

    return _Form(form.up_to_merge, merge, form.after_merge)


def _subrounds(clients: int) -> list[slice]:
    """Cuts a cohort into subrounds as equal as can be, since each size needs an executor."""
    least = -(-clients // _SUBROUND)
    count = next((n for n in range(least, 2 * least) if clients % n == 0), least)
    return cuts.slices(clients, count)


async def _in_thread(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a coroutine function in a thread of its own, one that does not keep a program alive."""
    done: concurrent.futures.Future[None] = concurrent.futures.Future()
    done.set_running_or_notify_cancel()  # Who waits may stop waiting; the thread goes on.

    def run() -> None:
        try:
            done.set_result(asyncio.run(function()))
        except BaseException as error:  # noqa: BLE001, raised again where it is awaited
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    await asyncio.wrap_future(done)


def _of_clients(type_signature: tff.Type) -> bool:
    return (
        isinstance(type_signature, tff.FederatedType)
        and type_signature.placement is tff.CLIENTS
        and not type_signature.all_equal
    )


def _number_of_clients(arg: Any, parameter: tff.Type | None) -> int:
    """Returns for how many clients `arg` has values; 0 if it has none.

    Raises:
      ValueError: If it has values for different numbers of clients.
    """
    numbers = set()

    def count(value: Any, type_signature: tff.Type | None) -> None:
        if _of_clients(type_signature):
            numbers.add(len(value))
        elif isinstance(type_signature, tff.StructType):
            for element in structures.elements(value, type_signature):
                count(*element)

    count(arg, parameter)
    if len(numbers) > 1:
        raise ValueError(f"values for different numbers of clients: {sorted(numbers)}")
    return max(numbers, default=0)


async def _send_shared(executor: Executor, arg: Any, type_signature: tff.Type) -> Any:
    """Returns `arg` with all that is not a single client's as values in the worker."""
    if _of_clients(type_signature):
        return arg
    if isinstance(type_signature, tff.StructType):
        return [await _send_shared(executor, *e) for e in structures.elements(arg, type_signature)]
    leaves = structures.leaves(arg, type_signature)
    if leaves and isinstance(leaves[0], Reference) and leaves[0].part.is_all_of(leaves):
        return executor.take(await leaves[0].part.remote())
    values = tff.tensorflow.transform_args(await tff.program.materialize_value(leaves))
    return await executor.create_value(
        structures.pack(iter(values), type_signature), type_signature
    )


async def _send(
    executor: Executor, arg: Any, type_signature: tff.Type, clients: slice = slice(None)
) -> RemoteValue:
    """Sends the rest of what `_send_shared` returned: the values of the clients of a subround."""
    if isinstance(arg, RemoteValue):
        return arg
    if _of_clients(type_signature):
        return await executor.create_value(list(arg)[clients], type_signature)
    sent = [
        (name, await _send(executor, element, element_type, clients))
        for element, (name, element_type) in zip(
            arg, tff.structure.iter_elements(type_signature), strict=True
        )
    ]
    return await executor.create_struct(tff.structure.Struct(sent))
