import numpy as np
import pytest
import torch
from torch.distributions import biject_to

from certibayes.config.errors import ConfigError
from certibayes.config.simulators.own import OwnPairs as Spec
from certibayes.config.simulators.own_files import pairs_shape
from certibayes.tasks.own_pairs import OwnPairs

RNG = np.random.default_rng(0)
THETA, X = RNG.uniform(size=(60, 2)), RNG.normal(size=(60, 3))


def csv(path, array, header=""):
    np.savetxt(path, array, delimiter=",", header=header, comments="", fmt="%.17g")


def npy(folder):
    np.save(folder / "theta.npy", THETA)
    np.save(folder / "x.npy", X)


def by_columns(folder):
    np.save(folder / "theta.npy", np.asfortranarray(THETA))
    np.save(folder / "x.npy", np.asfortranarray(X))


def npz(folder):
    np.savez(folder / "pairs.npz", theta=THETA, x=X)


def any_npz(folder):
    np.savez_compressed(folder / "mine.npz", theta=np.asfortranarray(THETA), x=X, more=X)


def two_csv(folder):
    csv(folder / "theta.csv", THETA)
    csv(folder / "x.csv", X)


def two_csv_with_header(folder):
    csv(folder / "theta.csv", THETA, "rate,width")
    csv(folder / "x.csv", X, "a,b,c")


def one_csv(folder):
    table = np.column_stack([X[:, :1], THETA, X[:, 1:]])
    csv(folder / "pairs.csv", table, "x_0,theta_rate,theta_width,x_1,x_2")


def csv_with_header_of_numpy(folder):
    np.savetxt(folder / "theta.csv", THETA, delimiter=",", header="rate,width", fmt="%.17g")
    np.savetxt(folder / "x.csv", X, delimiter=",", header="a,b,c", fmt="%.17g")


NAMES = {two_csv_with_header: ("rate", "width"), csv_with_header_of_numpy: ("rate", "width")}
NAMES |= {one_csv: ("theta_rate", "theta_width")}
WRITERS = [npy, by_columns, npz, any_npz, two_csv, two_csv_with_header, one_csv]
WRITERS += [csv_with_header_of_numpy]


def make(folder, **fields):
    return OwnPairs(Spec(folder=str(folder), **{"test_pairs": 10, **fields}))


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_holds_the_same_pairs(tmp_path, write):
    write(tmp_path)
    task = make(tmp_path)
    assert (task.theta_dim, task.x_dim, task.settings.rows) == (2, 3, 50)
    assert task.theta_names == NAMES.get(write, ("theta_1", "theta_2"))
    for rows in (slice(0, 7), slice(20, 50), slice(55, 90), slice(60, 90)):
        theta, x = task.pairs(rows)
        assert (theta.dtype, x.dtype) == (torch.float64, torch.float64)
        np.testing.assert_array_equal(theta, THETA[rows])
        np.testing.assert_array_equal(x, X[rows])
    theta, x = task.test_pairs()
    np.testing.assert_array_equal(theta, THETA[-10:])
    np.testing.assert_array_equal(x, X[-10:])


def test_other_types_and_shapes_of_numbers(tmp_path):
    np.save(tmp_path / "theta.npy", THETA[:, 0].astype(np.float32))
    np.save(tmp_path / "x.npy", np.arange(60 * 6, dtype=np.int64).reshape(60, 2, 3))
    task = make(tmp_path)
    assert (task.theta_dim, task.x_dim) == (1, 6)
    theta, x = task.pairs(slice(3, 5))
    np.testing.assert_array_equal(theta[:, 0], THETA[3:5, 0].astype(np.float32))
    assert x.tolist() == [list(range(18, 24)), list(range(24, 30))]


def test_failed_rows_are_kept_for_the_policy_on_failures(tmp_path):
    x = X.copy()
    x[4, 1] = np.nan
    csv(tmp_path / "theta.csv", THETA)
    csv(tmp_path / "x.csv", x)
    assert make(tmp_path).pairs(slice(0, 10))[1].isnan().any(1).nonzero().tolist() == [[4]]


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        ({}, 1e9, None),
        ({"lower": [0, 0]}, 5.0, -0.1),
        ({"upper": [1, 1]}, -5.0, 1.1),
        ({"lower": [0, 0], "upper": [1, 1]}, 0.5, 1.1),
    ],
)
def test_support_and_theta_outside_of_it(tmp_path, bounds, inside, outside):
    theta = THETA.copy()
    np.save(tmp_path / "x.npy", X)
    for value in filter(None, (inside, outside)):
        theta[7, 1] = value
        np.save(tmp_path / "theta.npy", theta)
        task = make(tmp_path, **bounds)
        if value == inside:
            found, _ = task.pairs(slice(0, 10))
            assert biject_to(task.support).inv(found).isfinite().all()
        else:
            with pytest.raises(ConfigError, match=rf"theta \[.*, {value}\] in row 7"):
                task.pairs(slice(5, 10))


def test_theta_that_is_not_finite_is_refused(tmp_path):
    theta = THETA.copy()
    theta[7, 1] = np.nan
    np.savez(tmp_path / "a.npz", theta=theta, x=X)
    with pytest.raises(ConfigError, match="in row 7; allowed: finite, above no limit"):
        make(tmp_path).pairs(slice(0, 10))


def no_folder(folder):
    folder.rmdir()


def nothing(folder):
    csv(folder / "data.csv", X)


def two_choices(folder):
    npy(folder)
    npz(folder)


def fewer_rows(folder):
    np.save(folder / "theta.npy", THETA)
    np.save(folder / "x.npy", X[:-1])


def no_numbers(folder):
    np.save(folder / "theta.npy", THETA.astype(str))
    np.save(folder / "x.npy", X)


def pickled(folder):
    np.save(folder / "theta.npy", THETA)
    np.save(folder / "x.npy", np.array([[{}]] * 60, dtype=object))


def not_npy(folder):
    (folder / "theta.npy").write_text("1, 2")
    np.save(folder / "x.npy", X)


def not_npz(folder):
    (folder / "a.npz").write_text("1, 2")


def npz_without_x(folder):
    np.savez(folder / "a.npz", theta=THETA, y=X)


def no_columns_of_theta(folder):
    csv(folder / "pairs.csv", X, "a,b,c")


def a_strange_column(folder):
    csv(folder / "pairs.csv", X, "theta_a,b,x_c")


def an_empty_line(folder):
    csv(folder / "theta.csv", THETA)
    csv(folder / "x.csv", X)
    text = (folder / "x.csv").read_text().splitlines()
    (folder / "x.csv").write_text("\n".join([*text[:4], "", *text[4:]]))


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def half_an_npy(folder):
    npy(folder)
    cut(folder / "x.npy", 800)


def a_corrupt_header(folder):
    npy(folder)
    content = (folder / "x.npy").read_bytes()
    (folder / "x.npy").write_bytes(content[:12] + b"\xff\xfe\x00" + content[15:])


def half_a_header(folder):
    npy(folder)
    cut(folder / "x.npy", 40)


def half_an_npz(folder):
    npz(folder)
    cut(folder / "pairs.npz", 1_000)


def semicolons(folder):
    np.savetxt(folder / "theta.csv", THETA, delimiter=";")
    np.savetxt(folder / "x.csv", X, delimiter=";")


def spaces(folder):
    np.savetxt(folder / "theta.csv", THETA)
    np.savetxt(folder / "x.csv", X)


def an_index_of_pandas(folder):
    table = np.column_stack([np.arange(60), THETA, X])
    csv(folder / "pairs.csv", table, ",theta_0,theta_1,x_0,x_1,x_2")


def an_index_of_pandas_in_two(folder):
    csv(folder / "theta.csv", np.column_stack([np.arange(60), THETA]), ",a,b")
    csv(folder / "x.csv", X)


def half_a_header_of_numbers(folder):
    csv(folder / "pairs.csv", np.column_stack([THETA, X]), "1,theta_b,x_0,x_1,x_2")


def a_shorter_line(folder):
    two_csv(folder)
    with (folder / "x.csv").open("a") as file:
        file.write("1.0,2.0\n")


MESSAGES = {
    half_an_npy: "x.npy: got 800 bytes, a part of the file; allowed: 1568",
    a_corrupt_header: r"x.npy: got a header that cannot be read \(UnicodeDecodeError\); allowed",
    half_a_header: r"x.npy: got a header that cannot be read \(SyntaxError\); allowed",
    half_an_npz: "pairs.npz: got 1000 bytes that are not a whole .npz file; allowed: one",
    semicolons: "theta.csv: got ';' as separator in line 1; allowed: numbers separated by ','",
    spaces: "theta.csv: got a space as separator in line 1; allowed: numbers separated by ','",
    an_index_of_pandas: r"pairs.csv: got a first column without a name; allowed: .*index=False",
    an_index_of_pandas_in_two: r"theta.csv: got a first column without a name; allowed: .*index=F",
    half_a_header_of_numbers: "pairs.csv: got 'theta_b' beside numbers in line 1; allowed: numbers",
    a_shorter_line: "x.csv: got 2 values in line 61; allowed: 3, as in line 1",
    no_folder: "no such folder .*; allowed: one with theta.npy and x.npy",
    nothing: "with data.csv; allowed: exactly one of theta.npy and x.npy",
    two_choices: "with pairs.npz, theta.npy, x.npy; allowed: exactly one of",
    fewer_rows: "got 59 rows of x; allowed: 60",
    no_numbers: "got data type '<U32'; allowed: real numbers",
    pickled: r"got data type '\|O'; allowed: real numbers",
    not_npy: "theta.npy: not an .npy file",
    not_npz: "a.npz: got 4 bytes that are not a whole .npz file",
    npz_without_x: "a.npz: got theta, y; allowed: theta and x",
    no_columns_of_theta: r"got a, b, c; allowed: a header with columns theta_\* and",
    a_strange_column: "got the column 'b'; allowed",
    an_empty_line: "x.csv: got an empty line 5; allowed: one at the end",
}


@pytest.mark.parametrize("write", MESSAGES)
def test_folders_without_pairs_are_refused_from_the_headers_alone(tmp_path, write):
    folder = tmp_path / "pairs"
    folder.mkdir()
    write(folder)
    with pytest.raises(ConfigError, match=f"^folder: .*{MESSAGES[write]}"):
        pairs_shape(str(folder))


def test_a_cell_that_is_no_number_is_refused(tmp_path):
    two_csv(tmp_path)
    path = tmp_path / "x.csv"
    path.write_text(path.read_text() + "1,two,3\n")
    csv(tmp_path / "theta.csv", np.vstack([THETA, THETA[:1]]))
    with pytest.raises(ConfigError, match=r"folder: .*x.csv: .*'two'.*; allowed: numbers"):
        make(tmp_path).test_pairs()


def test_changed_files_are_read_again(tmp_path):
    npy(tmp_path)
    assert pairs_shape(str(tmp_path)).rows == 60
    np.save(tmp_path / "theta.npy", THETA[:30])
    np.save(tmp_path / "x.npy", X[:30])
    assert pairs_shape(str(tmp_path)).rows == 30


@pytest.mark.parametrize("suffix", ["npy", "csv"])
@pytest.mark.parametrize("rows", [1, 4])
def test_real_observations(tmp_path, suffix, rows):
    npy(tmp_path)
    assert make(tmp_path).observed() is None
    path = tmp_path / f"observed.{suffix}"
    if suffix == "npy":
        np.save(path, X[0] if rows == 1 else X[:rows])
    else:
        csv(path, X[:rows], "a,b,c")
    np.testing.assert_array_equal(make(tmp_path).observed(), X[:rows])
    assert str(path) in make(tmp_path).settings.inputs


def test_files_are_inputs(tmp_path):
    npy(tmp_path)
    assert make(tmp_path).settings.inputs == (f"{tmp_path}/theta.npy", f"{tmp_path}/x.npy")


def test_a_shard_of_a_large_file_needs_little_memory(tmp_path):
    import tracemalloc

    np.savez(tmp_path / "a.npz", theta=np.zeros((400_000, 2)), x=np.zeros((400_000, 20)))
    task = make(tmp_path)
    tracemalloc.start()
    task.pairs(slice(300_000, 301_000))
    assert tracemalloc.get_traced_memory()[1] < 4e7
    tracemalloc.stop()
