"""What each command does, given its parsed options; returns the exit code if it is not 0."""

from replab.commands import queue
from replab.commands.evidence import accept, check, docs, export, import_, render, report, site
from replab.commands.listings import claims, list_models, list_papers
from replab.commands.machine import bench, fetch
from replab.commands.replication import regress, replicate, run

__all__ = [
    "accept",
    "bench",
    "check",
    "claims",
    "docs",
    "export",
    "fetch",
    "import_",
    "list_models",
    "list_papers",
    "queue",
    "regress",
    "render",
    "replicate",
    "report",
    "run",
    "site",
]
