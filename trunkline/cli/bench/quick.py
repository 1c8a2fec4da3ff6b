"""``trunkline bench quick``."""

from __future__ import annotations

from pathlib import Path

import click

#: Most benchmarks, as small as it still means something; no peers, which CI would have to fetch.
SMALL = (
    ("throughput", "--count", "200000", "--rounds", "1", "--no-peers"),
    ("concurrency", "--count", "1000", "--rounds", "1", "--no-peers", "--keys", "100"),
    ("publish", "--count", "10000", "--rounds", "1", "--no-peers"),
    ("latency", "--rate", "500", "--seconds", "1", "--rounds", "1", "--no-peers"),
    ("failures", "--count", "5000", "--rounds", "1", "--no-peers"),
    ("retry-delay", "--waiting", "500", "--delay", "2", "--load", "500"),
    ("broadcast", "--pods", "2", "--clients", "100", "--seconds", "1", "--rounds", "1"),
    ("failover", "--only", "started again at once, static", "--rounds", "1"),
    ("recovery", "--waiting", "1000"),
    ("starting", "--rounds", "1"),
    (
        *("sizes", "--count", "20000", "--rounds", "1", "--partitions", "30"),
        *("--value-bytes", "10000", "--blocked", "0", "--blocked", "1000"),
    ),
)


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the rows of each to FOLDER/<bench>.json and .md too, and draw <bench>.svg.",
)
@click.pass_context
def quick(ctx: click.Context, out: Path | None) -> None:
    """Most benchmarks with small numbers, in under three minutes.

    It fails when events were lost or repeated, or came out of order; never for being slow. Its
    figures say whether everything runs: take those of the benchmarks themselves.
    """
    benchmarks = ctx.parent.command if ctx.parent else None
    assert isinstance(benchmarks, click.Group)
    for name, *options in SMALL:
        click.echo(f"\n{name} {' '.join(options)}")
        command = benchmarks.get_command(ctx, name)
        assert command is not None
        kept = [] if out is None else ["--out", str(out)]
        command.main(args=[*options, *kept], prog_name=name, standalone_mode=False)
