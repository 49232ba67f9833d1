"""The trainer's command: `python train.py` or `mnist-cnn train`."""

import re
import sys
from collections.abc import Sequence

from mnist_cnn.training.flags import parse
from mnist_cnn.training.signals import Stopped, handled, stop


def main(words: Sequence[str] | None = None, program: str = "python train.py") -> int:
    """Train as the command line says; the exit status.

    Args:
        words: the command line; `sys.argv[1:]` by default.
        program: how it was called, for the commands that are printed.
    """
    flags = None
    try:
        with handled(stop):
            flags = parse(words)
            from mnist_cnn.training.session import run_session  # a second; --help has ended

            return run_session(flags, program)
    except (ValueError, OSError, FloatingPointError) as error:
        return failed(str(error))
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        return failed("out of memory: pass a smaller --batch-size (or --workers 0)")
    except Stopped as stopped:
        begun = flags and flags.resume
        again = f"--resume {begun} goes on" if begun else "there is nothing to resume"
        return failed(f"stopped before the first step; {again}", stopped.code)


def _is_out_of_memory(error: Exception) -> bool:
    from accelerate.utils.memory import should_reduce_batch_size

    killed = re.search(r"DataLoader worker .* (is killed|exited unexpectedly)", str(error))
    return bool(killed) or isinstance(error, MemoryError) or should_reduce_batch_size(error)


def failed(message: str, code: int = 1) -> int:
    print(f"train.py: {message}", file=sys.stderr)
    return code
