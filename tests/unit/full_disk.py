"""A child process in which no file may exceed a size, as on a full disk."""

import os
import resource
import tempfile
import warnings

from certibayes.explained import ExplainedError


def limited(size, function):
    """Return the message of the explained error in which a function ends below that limit.

    Anything else that it ends in is an assertion error with its text.
    """
    with tempfile.TemporaryFile() as output:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            code = 2
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
                function()
                code, text = 0, "no error"
            except ExplainedError as error:
                code, text = 1, str(error)
            except Exception as error:  # noqa: BLE001
                text = repr(error)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, resource.RLIM_INFINITY))
                os.write(output.fileno(), text.encode())
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        output.seek(0)
        text = output.read().decode()
    assert os.waitstatus_to_exitcode(status) == 1, text
    return text
