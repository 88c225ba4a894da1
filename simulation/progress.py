"""What a person sees while a run works, on stderr: a bar on a terminal, lines elsewhere."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fedkeyboard.simulation.rounds import Round
from fedkeyboard.terminal import say

# Without a terminal a line at least so often.
_SECONDS = 15.0


@contextlib.contextmanager
def loading(console: Console, *, tell: bool = False) -> Iterator[None]:
    """Shows that TensorFlow is being imported, which takes seconds; `tell`, without a terminal too.

    Around the imports, and after all that can be refused without them.
    """
    if console.is_terminal:
        with console.status("loading TensorFlow"):
            yield
        return
    if tell:
        say(console, "loading TensorFlow")
    yield


@contextlib.contextmanager
def rounds(
    console: Console, total: int | None, seconds: float | None = None
) -> Iterator[Callable[[Round], None]]:
    """Shows round, loss, recall and time left; yields what to call after each round.

    Args:
      console: Where.
      total: The last round; None of training that ends by itself.
      seconds: What time there is for all rounds.
    """
    recall, best = "", 0.0
    of_total = "" if total is None else f"/{total}"

    def describe(report: Round) -> str:
        nonlocal recall, best
        if report.validation_top1_recall is not None:
            best = max(best, report.validation_top1_recall)
            recall = f"  recall {report.validation_top1_recall:.1%}"
            if total is None and report.validation_top1_recall < best:
                recall += f", best {best:.1%}"
        loss = f"loss {report.loss:.3f}" if report.targets else "nobody reported"
        return f"{loss}{recall}"

    began = time.monotonic()
    # The time left is judged from the second round on: the first one starts TFF and traces, and a
    # resumed run begins far from zero.
    if console.is_terminal:
        # Of time, if that is what will end it.
        whole = total if seconds is None else seconds
        with Progress(
            TextColumn("round {task.fields[number]}" + of_total),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[text]}"),
            *([] if whole is None else [TimeRemainingColumn(compact=True), TextColumn("left")]),
            console=console,
            expand=True,
        ) as bar:
            task = bar.add_task("", total=whole, number=0, text="starting TensorFlow Federated")
            started = False

            def update(report: Round) -> None:
                nonlocal started
                change = bar.update if started else bar.reset
                done = report.round if seconds is None else min(time.monotonic() - began, seconds)
                change(task, completed=done, number=report.round, text=describe(report))
                started = True

            yield update
        return

    first: tuple[int, float] | None = None
    shown = 0.0

    def show(report: Round) -> None:
        nonlocal first, shown
        text = describe(report)
        now = time.monotonic()
        left = [] if seconds is None else [max(seconds - (now - began), 0.0)]
        if first is None:
            first = (report.round, now)
        elif total is not None:
            left.append((now - first[1]) / (report.round - first[0]) * (total - report.round))
        if report.round == total or now - shown >= _SECONDS:
            shown = now
            told = f"  {min(left):.0f} s left" if left else ""
            say(console, f"round {report.round}{of_total}  {text}{told}")

    yield show


@contextlib.contextmanager
def counting(
    console: Console, text: str, total: int | None = None
) -> Iterator[Callable[..., None]]:
    """Shows a count; yields a function that adds one, or sets the count that it is given.

    It takes another `text` and `total` too, for another thing that is counted after the first.
    """
    if not console.is_terminal:
        counted, shown = 0, time.monotonic()

        def tell(count: int | None = None, text: str = text, total: int | None = total) -> None:
            nonlocal counted, shown
            counted = counted + 1 if count is None else count
            if time.monotonic() - shown >= _SECONDS:
                shown = time.monotonic()
                say(console, f"{text}  {counted:,}" + ("" if total is None else f" of {total:,}"))

        yield tell
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}"),
        console=console,
        transient=True,
        expand=True,
    ) as bar:
        task = bar.add_task(text, total=total)

        def update(count: int | None = None, text: str = text, total: int | None = total) -> None:
            if count is None:
                bar.advance(task)
            else:
                bar.update(task, completed=count, description=text, total=total)

        yield update


@contextlib.contextmanager
def preparing(
    console: Console, text: str, phones: int | None
) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Yields what `data.prepare.prepare` calls for messages read and for virtual phones."""
    with counting(console, text) as update:
        yield update, functools.partial(update, text="virtual phones", total=phones)
