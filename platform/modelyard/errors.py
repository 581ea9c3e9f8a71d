"""The one kind of error a person is meant to read, and the exit code it ends a command with."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a `modelyard` command's exit code means."""

    FINE = 0
    ANSWER_IS_NO = 1  # a gate failed, drift was found, a deployment was refused
    WRONG_USE = 2
    UNREACHABLE = 3  # the platform, or a part of it, does not answer


class ModelyardError(Exception):
    """Something a person can act on.

    Args:
        what: One sentence: what was wrong, where, and the value that was found.
        fix: What is valid, or what to do next.
    """

    exit_code = ExitCode.WRONG_USE

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(f"{what}\n  → {fix}" if fix else what)
        self.what = what
        self.fix = fix


class AnswerIsNo(ModelyardError):
    """The command did its work, and the answer is no."""

    exit_code = ExitCode.ANSWER_IS_NO


class Unreachable(ModelyardError):
    """The platform, or the part of it that was needed, does not answer."""

    exit_code = ExitCode.UNREACHABLE
