import csv
from importlib.resources import files

import torch

from certibayes.config.tasks import LynxHare as LynxHareSpec
from certibayes.tasks.lynx_hare import LynxHare


def test_the_pelt_counts_of_the_package_are_those_of_the_data_set(data_root):
    packaged = files("certibayes").joinpath("tasks", "lynx_hare.csv").read_text()
    assert packaged == (data_root / "lynx_hare.csv").read_text()


def test_observed_holds_the_log_counts_in_the_order_of_the_years(data_root):
    with (data_root / "lynx_hare.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["year"] for row in rows] == [str(year) for year in range(1900, 1921)]
    counts = [float(row[name]) for name in ("hare", "lynx") for row in rows]
    observed = LynxHare(LynxHareSpec()).observed()
    torch.testing.assert_close(observed[0].exp(), torch.tensor(counts, dtype=torch.float64))
