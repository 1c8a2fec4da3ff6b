"""Guess what a typo meant: commands, options, topics, groups, pods."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import click


class SuggestingGroup(click.Group):
    """Says "Did you mean" for a command that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; name the closest one where there is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not isinstance(error, click.NoSuchOption):
                known = self.list_commands(ctx)
                error.message += did_you_mean(args[0], known) or f" Known: {', '.join(known)}."
            raise


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint to put behind a message, with a space in front; empty when nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def name_the_closest(error: click.ClickException) -> None:
    """Make an error about an option name the closest one; click would list all that are near."""
    if isinstance(error, click.NoSuchOption):
        error.message += "." + did_you_mean(error.option_name, error.possibilities or ())
        error.possibilities = None
