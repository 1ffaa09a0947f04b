import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root():
    """Folder of the shared data sets; without it tests skip, but under CI they fail."""
    root = Path(os.environ.get("CERTIBAYES_DATA", ""))
    if os.environ.get("CERTIBAYES_DATA") and root.is_dir():
        return root
    if os.environ.get("CI") == "true":
        pytest.fail(f"CERTIBAYES_DATA: got {str(root)!r}; allowed under CI: an existing folder")
    pytest.skip("CERTIBAYES_DATA is not set")
