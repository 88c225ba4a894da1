"""The commands of text: messages become a population, and what is in one."""

import pathlib
from typing import Annotated, Literal

import typer

from fedkeyboard.cli import options, output
from fedkeyboard.terminal import say


def prepare(
    out: Annotated[pathlib.Path, typer.Option(help="The population file to write (.sqlite).")],
    corpus: Annotated[
        Literal["chitchat"] | None, typer.Option(help="A bundled corpus instead of --input.")
    ] = None,
    input: Annotated[  # noqa: A002, the option's name
        pathlib.Path | None,
        typer.Option(help="Your own text: a file, a directory, or - for standard input."),
    ] = None,
    format: Annotated[  # noqa: A002
        Literal[
            *("csv", "jsonl", "json", "parquet", "leaf", "tff"),
            *("telegram", "whatsapp", "discord", "slack", "sms"),
        ]
        | None,
        typer.Option(help="Of --input; default, as its name ends and as it begins."),
    ] = None,
    user_column: Annotated[
        str | None, typer.Option(help="Column or key of the user's id; default, user.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column or key of the message; default, text; TFF's, tokens.")
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(
            help="Column or key of the time: ISO 8601 or epoch; default, file order; TFF's, "
            "creation_date."
        ),
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(help="How times are written, as strptime has it: %d.%m.%Y %H:%M.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between the cells of CSV; default, a comma; of .tsv a tab.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="How the file is written; default, UTF-8.")
    ] = None,
    source_split: Annotated[
        str | None, typer.Option(help="Read one split of TFF's, such as train; default, all.")
    ] = None,
    min_sentences: Annotated[
        int, typer.Option(max=options.MANY, help="Leave out users with fewer usable messages.")
    ] = 5,
    max_sentences: Annotated[
        int, typer.Option(max=options.MANY, help="Keep a user's first so many.")
    ] = 500,
    keep_links: Annotated[
        bool, typer.Option("--keep-links", help="Leave links, mentions and placeholders in.")
    ] = False,
    seed: Annotated[int, typer.Option(max=2**64 - 1, help="Draws who is held out.")] = 0,
    phones: Annotated[
        int | None,
        typer.Option(max=2**31, help="Multiply the training users to so many virtual phones."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a population that is at --out.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Make a population file: phones by number, split 80/10/10 into train, validation and test."""
    from fedkeyboard.data import corpora
    from fedkeyboard.data import prepare as preparing
    from fedkeyboard.data.cleaning import Cleaning
    from fedkeyboard.simulation import progress

    cleaning = Cleaning(
        minimum_sentences=min_sentences, maximum_sentences=max_sentences, links=keep_links
    )
    with (
        corpora.source(
            corpus,
            "-" if str(input) == "-" else input,
            format,
            user_column=user_column,
            text_column=text_column,
            time_column=time_column,
            time_format=time_format,
            delimiter=delimiter,
            encoding=encoding,
            source_split=source_split,
        ) as source,
        progress.preparing(output.ERR, "messages read", phones) as (on_message, on_voices),
    ):
        summary = preparing.prepare(
            source.messages,
            out,
            source=source.name,
            cleaning=cleaning,
            seed=seed,
            phones=phones,
            progress=on_message,
            on_voices=on_voices,
            overwrite=force,
        )
    skipped = source.skipped.note()
    if skipped:
        progress.say(output.ERR, skipped)
    if summary.note:
        progress.say(output.ERR, summary.note)
    if as_json:
        output.print_json({**summary.as_dict(), "skipped": dict(source.skipped.counts)})
    else:
        output.print_table(
            [
                ("file", str(summary.path)),
                *((f"{split} phones", f"{count:,}") for split, count in summary.phones.items()),
                *([] if phones is None else [("real train users", f"{summary.users['train']:,}")]),
                ("sentences", f"{summary.sentences:,}"),
                ("words", f"{summary.words:,}"),
            ]
        )


def stats(
    file: Annotated[pathlib.Path, typer.Argument(metavar="FILE", help="A population file.")],
    vocabulary_size: Annotated[
        int, typer.Option(min=8, max=1_000_000, help="Of the vocabulary whose misses are counted.")
    ] = 10_000,
    minimum_users: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=options.MANY,
            help="How many wrote a word of it; default, as in an experiment.",
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option(min=1, max=options.MANY, help="Read at most so many phones a split.")
    ] = 2000,
    as_json: options.AsJson = False,
) -> None:
    """Describe a population: words per phone, what a vocabulary misses, how users differ."""
    from fedkeyboard.data import statistics
    from fedkeyboard.data.population import Population
    from fedkeyboard.simulation import progress

    with (
        Population.open(file) as population,
        progress.counting(output.ERR, "phones read") as advance,
    ):
        described = statistics.describe(
            population,
            vocabulary_size=vocabulary_size,
            minimum_users=minimum_users,
            sample=sample,
            on_phone=advance,
        )
    if as_json:
        output.print_json(described)
        return
    splits = described["splits"]
    output.print_table(statistics.rows(described), ("", *splits))
    output.OUT.print()
    bars = statistics.bars(splits["train"]["histogram"])
    output.print_table(bars, ("words a train phone", "phones", ""), left=(0, 2))
    output.OUT.print()
    for line in statistics.sentences(described):
        say(output.OUT, line)
