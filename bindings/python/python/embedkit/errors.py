"""Exceptions.

Each is an `EmbedkitError` and one of Python's own that FastEmbed raises in its place, so that code which
catches those goes on working. `kind` is a stable name for programs; `hint` says what can be done, where
something can.
"""

from __future__ import annotations


class EmbedkitError(Exception):
    """An error of embedkit."""

    kind: str = "internal"
    """Stable name of the class of error, such as `not_found`."""
    hint: str | None = None
    """Advice, in one line."""

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} (hint: {self.hint})" if self.hint else message


class NotFoundError(EmbedkitError, FileNotFoundError, ValueError):
    """A model, a repository, a file or the ONNX Runtime library does not exist."""

    kind = "not_found"
    __str__ = EmbedkitError.__str__


class OfflineError(EmbedkitError, ConnectionError, ValueError):
    """Something would have to be fetched, and the network is switched off."""

    kind = "offline"
    __str__ = EmbedkitError.__str__


class DownloadError(EmbedkitError, ConnectionError, ValueError):
    """A transfer failed."""

    kind = "download"
    __str__ = EmbedkitError.__str__


class DamagedError(EmbedkitError, ValueError):
    """A file is cut, changed or of the wrong format."""

    kind = "damaged"


class InvalidInputError(EmbedkitError, ValueError):
    """An input, option or argument cannot be used."""

    kind = "invalid_input"


class UnsupportedError(EmbedkitError, ValueError):
    """The model, this build or the runtime library does not do what was asked for."""

    kind = "unsupported"


class BusyError(EmbedkitError, RuntimeError):
    """The queue of a model is full; later it may not be."""

    kind = "busy"


class DeviceError(EmbedkitError, ValueError, RuntimeError):
    """The device is missing or failed."""

    kind = "device"


class InferenceError(EmbedkitError, RuntimeError):
    """ONNX Runtime failed to load or run a graph, or the system below it failed."""

    kind = "runtime"


class CancelledError(EmbedkitError, TimeoutError):
    """A time limit has passed."""

    kind = "cancelled"
    __str__ = EmbedkitError.__str__


class ForkedError(EmbedkitError, RuntimeError):
    """What was started before this process was forked is used in it."""

    kind = "forked"


class InternalError(EmbedkitError, RuntimeError):
    """A defect of embedkit."""

    kind = "internal"


_CLASSES: dict[str, type[EmbedkitError]] = {
    error.kind: error
    for error in (
        NotFoundError,
        OfflineError,
        DownloadError,
        DamagedError,
        InvalidInputError,
        UnsupportedError,
        BusyError,
        DeviceError,
        InferenceError,
        CancelledError,
        ForkedError,
        InternalError,
    )
}


def make(kind: str, message: str, hint: str | None = None) -> EmbedkitError:
    """Make the exception of a kind. The native module calls it."""
    error = _CLASSES.get(kind, EmbedkitError)(message)
    error.hint = hint
    return error
