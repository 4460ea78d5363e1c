"""Whether what a run needs is on this machine."""

from replab.datasets import fetch, registry
from replab.errors import MissingData


def require(name: str) -> None:
    """See that a data set, `weights:NAME`, or what else `fetch` brings is here and whole.

    Raises:
        MissingData: it has to be fetched first.
        UserError: it is damaged, or the name is unknown.
    """
    known = {n: d for n, d in registry.registered().items() if d.kind or d.require}
    if name not in known:
        raise registry.unknown(name, known)
    check = known[name].require
    if check is not None:
        check()


def ensure_available(name: str, *, may_fetch: bool = True) -> None:
    """See that a data set or a file of weights is here, fetching it if that is allowed.

    Raises:
        UserError: it is not here and cannot be fetched.
    """
    try:
        require(name)
    except MissingData:
        if not may_fetch:
            raise
        fetch.fetch(name)
