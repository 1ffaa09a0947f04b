"""MLflow's server in one process that can be killed, stopped and slowed down."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from served import free_port

SECONDS = 240


class Server:
    """The server of a sqlite file; `uri` stays the same from one start to the next."""

    def __init__(self, database):
        self.database = database
        self.pause = database.with_name("pause")
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [sys.executable, __file__, str(self.port), str(self.database), str(self.pause)]
        log = self.database.with_name("server.log")
        with log.open("a") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        until = time.monotonic() + SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
            except OSError:
                assert self.process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.2)
            else:
                return

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def slow(self, seconds):
        """Answer so many seconds after the work is done."""
        self.pause.write_text(str(seconds))


def main(port, database, pause):
    """Serve; the store is that of MLflow, and so are all answers."""
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{database}"
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = str(Path(database).parent / "served")
    os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "false"
    from mlflow.server import app
    from werkzeug.serving import run_simple

    def late(environ, start_response):
        answer = app(environ, start_response)
        if Path(pause).exists():
            time.sleep(float(Path(pause).read_text()))
        return answer

    run_simple("127.0.0.1", int(port), late, threaded=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
