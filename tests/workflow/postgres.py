"""A PostgreSQL of its own on a free port, as a user other than root, which it refuses."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from served import free_port

SERVER_USER = "postgres"


def binaries():
    """Return the folder of the newest server's programs, None without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    here = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(here).parent if here else None


@contextmanager
def running_postgresql():
    """Yield the address of an empty database, which ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="certibayes-postgres-", dir="/tmp"))
    programs = [] if os.geteuid() else ["runuser", "-u", SERVER_USER, "--"]
    if programs:
        shutil.chown(folder, SERVER_USER)
    data, port = folder / "data", free_port()

    def run(program, *arguments):
        command = [*programs, str(binaries() / program), "--pgdata", str(data), *arguments]
        log = folder / f"{program}.out"
        with log.open("w") as output:
            ended = subprocess.run(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        assert ended.returncode == 0, log.read_text()

    settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        run("initdb", "--username=mlflow", "--auth=trust", "--no-sync", "--locale=C.UTF-8")
        run("pg_ctl", "--wait", "--log", str(folder / "log"), "--options", settings, "start")
        try:
            yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "--mode=fast", "--wait", "stop")
    finally:
        shutil.rmtree(folder)
