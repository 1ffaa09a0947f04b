"""What an audit refuses."""

from __future__ import annotations

from certibayes.config import ConfigError


class AuditError(ConfigError):
    """An audit that may not or cannot run; the message says what and why."""
