"""What goes wrong with data: it is not there, or it is not what it should be."""


class DataError(RuntimeError):
    """Data is missing or damaged; the message names the file or the folders, and the remedy."""
