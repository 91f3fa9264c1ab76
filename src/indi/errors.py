"""The errors that a user can meet, as one tree.

    IndiError                    anything that is the caller's to fix; the command line exits with 2
    ├── ConfigError              a setting is unknown, out of range or contradicts another
    ├── DataError                folders of pairs that do not match, or do not fit each other
    ├── DeviceError              the asked-for device is not there, or has too little memory
    ├── ImageError               an image file that cannot be read or written, or is refused
    ├── MissingExtraError        a feature needs an optional package
    ├── ModelError               a model or run that is missing, damaged or of another kind
    ├── ShapeError               arrays whose shapes or channels do not fit
    └── TrainingError            training that cannot go on: it diverged, or the folder holds a run already

Each message is one line: what went wrong, where (a file, a shape), and what to do about it. Programs go by the class,
whose name stays; the wording may change.
Anything else that escapes the library is a bug in it.
"""


class IndiError(Exception):
    """Base of every error that the caller can fix."""


class ConfigError(IndiError):
    """A setting is unknown, out of range or contradicts another."""


class DataError(IndiError):
    """Folders of pairs do not match, or do not fit each other."""


class DeviceError(IndiError):
    """The asked-for device is not there, or has too little memory."""


class ImageError(IndiError):
    """An image file cannot be read or written, or is refused."""


class MissingExtraError(IndiError):
    """A feature needs an optional package that is not installed."""


class ModelError(IndiError):
    """A model or run is missing, damaged or of another kind."""


class ShapeError(IndiError, ValueError):
    """Arrays do not fit each other or the model in shape or channels."""


class TrainingError(IndiError):
    """Training cannot go on."""
