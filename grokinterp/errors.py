"""The errors of the library: one line with the fact, the value and the remedy."""

LONGEST_LINE = 4000
"""Characters of a message; what is longer quotes somebody's file."""


class GrokinterpError(Exception):
    """Base of every error that the library raises on purpose.

    Its message is one line that is safe to print, whatever names and values it quotes.
    """

    def __str__(self) -> str:
        """Return the message."""
        return one_line(super().__str__())


def one_line(text: str, most: int = LONGEST_LINE) -> str:
    r"""Return a text on one line, cut where it is long, with control characters spelled out.

    Examples
    --------
    >>> one_line("two\nlines"), one_line("\x1b[31mred"), one_line("abcdef", most=5)
    ('two lines', '\\x1b[31mred', 'ab...')
    """
    if len(text) > most:
        text = f"{text[: most - 3]}..."
    if text.isprintable():
        return text
    text = " ".join(line.strip() for line in text.splitlines() if line.strip())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def first_sentence(error: BaseException, most: int = 200) -> str:
    """Return the first sentence of another library's message, without its period.

    Examples
    --------
    >>> first_sentence(RuntimeError("no such device. It could be one of cpu, cuda, ..."))
    'no such device'
    >>> first_sentence(ValueError())
    'ValueError'
    """
    line = next((one for one in str(error).splitlines() if one.strip()), type(error).__name__)
    return one_line(line.split(". ")[0].strip().rstrip("."), most)


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


class FailedRunsError(GrokinterpError):
    """Some of the runs that were trained together could not be finished; the others are.

    Parameters
    ----------
    message
        One line.
    failures
        The error of each run that failed, by the hash of its config.
    """

    def __init__(self, message: str, failures: dict[str, GrokinterpError]) -> None:
        super().__init__(message)
        self.failures = failures


class CallbackError(GrokinterpError):
    """A callback of a training that raised; its own error is the ``__cause__``."""


class FitError(GrokinterpError, ValueError):
    """Data from which what is asked for cannot be estimated."""
