"""What can be wrong with an import as a whole; a line that is wrong is a reject instead."""

from orchestration.loading.copy_loader import LoadError


class ImportFileError(LoadError):
    """A file of events cannot be imported; the message names it, what is wrong and the way out."""


class MappingError(LoadError):
    """A mapping cannot be used; the message names it, what is wrong and the way out."""
