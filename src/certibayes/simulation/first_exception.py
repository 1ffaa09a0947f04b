"""The traceback of the first exception that a simulator raised, once per job."""

from __future__ import annotations

import logging

from certibayes.simulation.call import FailedCall

log = logging.getLogger(__name__)


class FirstException:
    """Logs the first exception it is told of; one instance serves all simulations of a job."""

    def __init__(self) -> None:
        self._logged = False

    def __call__(self, label: str, failed: FailedCall) -> None:
        """Log a failed call's traceback, unless it is no exception or one was logged before.

        Args:
            label: names the simulations, e.g. "shard 3 of sir".
            failed: the call.
        """
        if failed.reason != "exception" or not failed.traceback or self._logged:
            return
        self._logged = True
        log.warning("%s: first exception:\n%s", label, failed.traceback)
