"""Whether what a run needs is on this machine."""

from replab.errors import UserError


def require(name: str) -> None:
    """See that a data set or `weights:NAME` is here and whole.

    Raises:
        MissingData: it has to be fetched first.
        UserError: it is damaged, or the name is unknown.
    """
    from replab.datasets import FILE_SETS, NAMES, cifar10, imagenet, weights

    if name.startswith("weights:"):
        weights.find(name.removeprefix("weights:"))
    elif name == "cifar10":
        cifar10.load()
    elif name == "imagenet":
        imagenet.require()
    elif name not in NAMES:
        known = ", ".join(NAMES + FILE_SETS)
        raise UserError(f"there is no data set {name!r}; choose one of {known}")
    # What is left is generated on first use: it needs nothing.
