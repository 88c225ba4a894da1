"""References to results that stay in the worker until somebody wants their values."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from typing import Any

import tensorflow_federated as tff
from tensorflow_federated.python.core.impl.executors.remote_executor import RemoteValue

from fedkeyboard.runtime import structures

Submit = Callable[[Coroutine[Any, Any, Any]], concurrent.futures.Future[Any]]


class Part:
    """An element of a computation's result, in the worker until somebody wants its values."""

    def __init__(
        self,
        submit: Submit,
        running: concurrent.futures.Future[RemoteValue],
        index: int | None,
        type_signature: tff.Type,
    ):
        """Initializes the part.

        Args:
          submit: Runs a coroutine in an event loop that may block.
          running: The computation, which gives its result.
          index: Of the element in the result; None if it is all of it.
          type_signature: The element's.
        """
        self._submit = submit
        self._running = running
        self._index = index
        self._type_signature = type_signature
        self._fetching: concurrent.futures.Future[list[Any]] | None = None

    def references(self) -> Any:
        """Returns a structure of references to the part's values."""
        types = enumerate(structures.leaf_types(self._type_signature))
        return structures.pack(
            (Reference(self, i, leaf) for i, leaf in types), self._type_signature
        )

    def is_all_of(self, leaves: list[Any]) -> bool:
        """Whether these are the part's references, all and in order."""
        return len(leaves) == len(structures.leaf_types(self._type_signature)) and all(
            isinstance(leaf, Reference) and leaf.part is self and leaf.index == i
            for i, leaf in enumerate(leaves)
        )

    async def remote(self) -> RemoteValue:
        """Returns the part as a value in the worker."""
        result = await asyncio.wrap_future(self._running)
        if self._index is None:
            return result
        return await result._executor.create_selection(result, self._index)

    async def values(self) -> list[Any]:
        """Returns the part's values, fetched once."""
        if self._fetching is None:
            self._fetching = self._submit(self._fetch())
        fetching = asyncio.wrap_future(self._fetching)
        # Where another value failed nobody waits for this one, and asyncio would complain on stderr
        # that nobody heard of its error.
        fetching.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Whoever no longer waits takes nothing from the others who do.
        return await asyncio.shield(fetching)

    async def _fetch(self) -> list[Any]:
        remote = await self.remote()
        return structures.leaves(await remote.compute(), self._type_signature)


class Reference(tff.program.MaterializableValueReference):
    """Reference to one value of a part."""

    def __init__(self, part: Part, index: int, type_signature: tff.Type):
        self.part = part
        self.index = index
        self._type_signature = type_signature

    @property
    def type_signature(self) -> tff.Type:
        """The value's type."""
        return self._type_signature

    async def get_value(self) -> Any:
        """Returns the value, fetched with the rest of its part."""
        return (await self.part.values())[self.index]
