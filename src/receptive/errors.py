"""The one kind of error that is shown without a traceback."""


class InputError(Exception):
    """A fault of the user's input; the text names the key or file and the remedy."""
