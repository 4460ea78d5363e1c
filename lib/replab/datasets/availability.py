"""Whether what a run needs is on this machine."""

from replab.errors import UserError


def require(name: str) -> None:
    """See that a data set or `weights:NAME` is here and whole.

    Raises:
        MissingData: it has to be fetched first.
        UserError: it is damaged, or the name is unknown.
    """
    from replab.datasets import NAMES, cifar10, weights

    if name.startswith("weights:"):
        weights.find(name.removeprefix("weights:"))
    elif name == "cifar10":
        cifar10.load()
    elif name not in NAMES:
        raise UserError(f"there is no data set {name!r}; choose one of {', '.join(NAMES)}")
    # What is left is generated on first use: it needs nothing.
