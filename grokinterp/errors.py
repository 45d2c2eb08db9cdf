"""The errors of the library: one line with the fact, the value and the remedy."""


class GrokinterpError(Exception):
    """Base of every error that the library raises on purpose."""


class ConfigError(GrokinterpError, ValueError):
    """A task, model or training setting that cannot mean anything."""


class ShapeError(GrokinterpError, ValueError):
    """A tensor whose shape does not fit the task it is said to belong to."""


class CheckpointError(GrokinterpError):
    """A checkpoint that is missing, damaged or not what its name says."""


class RunFolderError(GrokinterpError):
    """A run folder that cannot be read, written or continued."""


class FolderInUseError(RunFolderError):
    """A run folder that another process is writing at this moment."""


class FitError(GrokinterpError, ValueError):
    """Data from which what is asked for cannot be estimated."""
