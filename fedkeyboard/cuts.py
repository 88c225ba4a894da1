"""A length cut into slices that are as equal as can be."""


def slices(length: int, count: int) -> list[slice]:
    """Returns `count` slices, in order, that differ by at most 1 in length."""
    ends = [length * i // count for i in range(count + 1)]
    return [slice(start, end) for start, end in zip(ends, ends[1:], strict=False)]


def lengths(parts: list[slice]) -> list[int]:
    """Returns the slices' lengths."""
    return [part.stop - part.start for part in parts]
