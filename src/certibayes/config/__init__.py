"""Everything a study file may say, validated; torch-free, so that a Snakefile can load it."""

from certibayes.config.errors import ConfigError
from certibayes.config.load import json_schema, load
from certibayes.config.study import Study

__all__ = ["ConfigError", "Study", "json_schema", "load"]
