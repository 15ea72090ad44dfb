# The configuration's files, looked through before Snakemake reads the first: of two equal keys it keeps the last, and of
# a fault it names no line. Overlays after --configfile it has read already.

import os
import sys
from pathlib import Path

from sslbench.config import strict_yaml
from sslbench.errors import UserError


def one_line(function, *arguments):
    """Call it; a user's mistake ends Snakemake with one line, which an exception of its own would frame in file names."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"sslbench: {error}")


# The grid beside the Snakefile, wherever Snakemake was started; a config.yaml of that folder is laid over it.
BASE = os.path.relpath(Path(workflow.basedir, "config.yaml"))
HERE = "config.yaml" if Path("config.yaml").is_file() and Path("config.yaml").resolve() != Path(BASE).resolve() else ""
NAMED = [os.path.relpath(file) for file in workflow.overwrite_configfiles]
OVERLAYS = [file for file in NAMED if file not in (BASE, HERE)]

if workflow.is_main_process and workflow.modifier.is_main_snakefile():
    one_line(strict_yaml.check, [file for file in (BASE, HERE, *OVERLAYS) if file])
