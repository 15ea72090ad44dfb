"""The commands that a user is told to type."""

import shlex
from collections.abc import Sequence

from sslbench.config.models import Config


def configfile(overlays: Sequence[str]) -> list[str]:
    """The words that name the overlays, last in a command."""
    return ["--configfile", *overlays] if overlays else []


def command(overlays: Sequence[str], target: str = "", cores: str = "all") -> str:
    """What to type for a target. It stands before --configfile, which takes every word that follows."""
    return shlex.join(word for word in ["snakemake", "--cores", cores, target, *configfile(overlays)] if word)


def failure_lines(config: Config, overlays: Sequence[str]) -> str:
    """The last lines of a failed run: what to look at, and how to render what is there. See command() for overlays.

    Without `sslbench:` in front, which marks the one line that says what is wrong.
    """
    page = config.paths.reports / config.name / "now.html"
    return (
        "Some jobs failed: what they said stands above, and in logs/. Finished cells are kept, and the same "
        "command goes on where this one stopped.\n"
        f"What is finished now, rendered to {page}: {command(overlays, 'report_now', '1')}"
    )
