"""An interrupt while the command line is still being imported, which takes seconds, ends it as any later one does."""

import os
import sys
from pathlib import Path
from types import TracebackType

_INTERRUPTED = 130


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("interrupted\n")
    sys.stderr.flush()
    os._exit(_INTERRUPTED)  # Python itself would end by the signal, which is no exit code


if (sys.argv and Path(sys.argv[0]).stem == "indi") or sys.orig_argv[1:3] == ["-m", "indi"]:  # it is the command line
    sys.excepthook = _end
