"""The exceptions a user can meet, as one small tree.

A message always answers four questions: what was expected, what was found, what the likely cause is, and what to type.
Numerical failure of a simulation is not an exception: it is a value (`mfm.SimStatus`).

Examples
--------
>>> import mfm
>>> try:
...     mfm.Protocol(tr_s=720, n_frames=1200)
... except mfm.errors.InputError as error:
...     print(error)
The repetition time is implausible.
  expected: seconds, usually 0.5 to 3
  found: tr_s = 720
  likely cause: milliseconds were given
  fix: tr_s = 0.72
"""


class MfmfitError(Exception):
    """Base of every error raised on purpose by mfmfit.

    Parameters
    ----------
    problem : str
        One sentence that names the offending quantity.
    expected, found, cause, fix : str, optional
        The rest of the message, each on a line of its own.
    """

    exit_code = 70

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        cause: str | None = None,
        fix: str | None = None,
    ):
        parts = (("expected", expected), ("found", found), ("likely cause", cause), ("fix", fix))
        lines = [problem] + [f"  {name}: {text}" for name, text in parts if text]
        super().__init__("\n".join(lines))


class InputError(MfmfitError, ValueError):
    """A value, array or file content that cannot be used."""

    exit_code = 65


class MissingInputError(InputError, FileNotFoundError):
    """A file that was named but is not there."""

    exit_code = 66


class ConfigError(MfmfitError, ValueError):
    """A setting that is unknown, mistyped or contradicts another."""

    exit_code = 2


class OutputError(MfmfitError, OSError):
    """An output folder that cannot be written, or holds results of another configuration."""

    exit_code = 73


class BusyError(OutputError):
    """An output folder that another job works on."""

    exit_code = 76


class BackendError(MfmfitError, RuntimeError):
    """A simulation backend that this machine or this problem does not allow."""

    exit_code = 69


class InputNote(UserWarning):
    """Something about an input that was accepted, but that its owner should know."""
