"""The two ways in which a command of replab ends other than well."""


class UserError(Exception):
    """A mistake or a lack on the user's side: one line that says what, where and how to mend it.

    The command line prints the message without a traceback and exits with code 2.
    """


class CheckFailed(Exception):
    """A comparison that was asked for came out red; the command line exits with code 1."""


class MissingData(UserError):
    """Data or weights that a run needs are not here; the message says where to get them.

    Claims that rest on such a run are shown as `not attempted`, with this message.
    """


class DownloadFailed(UserError):
    """No source gave the file: the network, the disk or a checksum stood in the way."""
