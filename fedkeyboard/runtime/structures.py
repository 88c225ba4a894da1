"""TFF's structured values and types, taken apart and put together."""

from collections.abc import Iterator
from typing import Any

import tensorflow_federated as tff


def elements(value: Any, type_signature: tff.StructType) -> list[tuple[Any, tff.Type]]:
    """Returns a struct's elements, each with its type."""
    return [
        (element, element_type)
        for element, (_, element_type) in zip(
            tff.structure.from_container(value),
            tff.structure.iter_elements(type_signature),
            strict=True,
        )
    ]


def leaf_types(type_signature: tff.Type) -> list[tff.Type]:
    """Returns the types of a type's tensors and sequences, in order."""
    if isinstance(type_signature, tff.FederatedType):
        return leaf_types(type_signature.member)
    if isinstance(type_signature, tff.StructType):
        members = tff.structure.iter_elements(type_signature)
        return [leaf for _, element_type in members for leaf in leaf_types(element_type)]
    return [type_signature]


def leaves(value: Any, type_signature: tff.Type) -> list[Any]:
    """Returns a value's tensors and sequences, in order."""
    if isinstance(type_signature, tff.FederatedType):
        return leaves(value, type_signature.member)
    if isinstance(type_signature, tff.StructType):
        return [leaf for e in elements(value, type_signature) for leaf in leaves(*e)]
    return [value]


def pack(parts: Iterator[Any], type_signature: tff.Type) -> Any:
    """Puts together what `leaves` takes apart."""
    if isinstance(type_signature, tff.FederatedType):
        return pack(parts, type_signature.member)
    if isinstance(type_signature, tff.StructType):
        members = tff.structure.iter_elements(type_signature)
        return tff.structure.Struct((name, pack(parts, member)) for name, member in members)
    return next(parts)
