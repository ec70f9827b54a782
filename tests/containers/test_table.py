"""Pictures in Parquet and Arrow files.

Twin: `to_pylist` of pyarrow, which reads a whole column at once.
"""

import os
import shutil
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import given, strategies as st

from encoded import painted
from imgdup.api.index import ImageIndex
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.containers import ContainerChangedError
from imgdup.containers.reading import open_container, read_content
from imgdup.errors import ImageError, ImgdupError
from imgdup.system.limits import Limits
from imgdup.system.paths import inside
from imgdup.workers.pool import inline
from opened_containers import LIMITS, listed, read, reason_of

pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")

PICTURES = [painted(seed, 60, 50) for seed in range(4)]
FACTS = ("size", "width", "height", "quality", "digest", "match", "hashes")


def settings(**options):
    return Settings(workers=1, engine=inline, **options)


def write(path, table, rows_a_group=3):
    """Write a table as Parquet, as an Arrow file or, ``.stream.arrow``, as an Arrow stream."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows_a_group)
        return path
    is_stream = ".stream" in path.name
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with new(path, table.schema) as writer:
        for start in range(0, len(table), rows_a_group):
            writer.write_table(table.slice(start, rows_a_group))
    return path


@hypothesis.settings(max_examples=40)
@given(
    cells=st.lists(st.none() | st.binary(max_size=300), min_size=1, max_size=40),
    form=st.sampled_from(["x.parquet", "x.arrow", "x.stream.arrow"]),
    kind=st.sampled_from(["bytes", "large", "struct"]),
    rows_a_group=st.integers(1, 40),
)
def test_every_cell_is_read(tmp_path_factory, cells, form, kind, rows_a_group):
    if kind == "struct":
        fields = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        column = pa.array([c if c is None else {"bytes": c, "path": "p"} for c in cells], fields)
    else:
        column = pa.array(cells, pa.binary() if kind == "bytes" else pa.large_binary())
    table = pa.table({"text": ["a"] * len(cells), "picture": column})
    path = write(tmp_path_factory.mktemp("table") / form, table, rows_a_group)

    names = [member.name for member in listed(path, "picture")]

    assert sorted(names) == sorted(b"%d/picture" % i for i in range(len(cells)))
    for i, cell in enumerate(table["picture"].to_pylist()):
        expected = cell["bytes"] if cell and kind == "struct" else cell
        if expected is None:
            assert reason_of(path, b"%d/picture" % i) == "not-an-image"
        else:
            assert read(path, b"%d/picture" % i) == expected


@pytest.mark.parametrize("form", ["x.parquet", "x.arrow", "x.stream.arrow"])
def test_rows_equal_those_of_the_loose_files(tmp_path, form):
    column = pa.array([{"bytes": data, "path": None} for data in PICTURES * 4])
    path = write(tmp_path / form, pa.table({"image": column, "label": [1] * 16}), 5)
    (tmp_path / "loose").mkdir()
    for i, data in enumerate(PICTURES * 4):
        (tmp_path / "loose" / f"{i:02}.jpg").write_bytes(data)

    update_index(tmp_path / "twin", [str(tmp_path / "loose")], settings())
    outcome = update_index(tmp_path / "index", [str(path)], settings())

    assert (outcome.hashed, outcome.failed) == (16, 0)
    twin, rows = (ImageIndex.open(tmp_path / name).rows for name in ("twin", "index"))
    of_cell = {rows.path(row): row for row in range(16)}
    for i in range(16):
        row = of_cell[os.fsencode(path) + b"!/%d/image" % i]
        assert all(np.array_equal(rows.column(f)[row], twin.column(f)[i]) for f in FACTS)


def test_the_column_of_pictures_is_found_among_others_of_bytes(tmp_path):
    table = pa.table({"embedding": [b"\0" * 64] * 4, "image": PICTURES, "mask": [b"text"] * 4})
    path = write(tmp_path / "x.parquet", table)

    assert next(member.name for member in listed(path)) == b"0/image"


def test_of_several_columns_of_pictures_that_called_image_is_used_or_none(tmp_path):
    path = write(tmp_path / "x.parquet", pa.table({"before": PICTURES, "image": PICTURES}))
    other = write(tmp_path / "y.parquet", pa.table({"before": PICTURES, "after": PICTURES}))

    assert next(member.name for member in listed(path)) == b"0/image"
    assert listed(other).fault == (
        "unsupported",
        "several columns may hold pictures: before, after; name one with --column",
    )
    assert len(listed(other, "after")) == 4


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path):
    path = write(tmp_path / "x.parquet", pa.table({"image": PICTURES}))

    assert listed(path, "img").fault == (
        "unsupported",
        "it has no column 'img'; its columns are: image",
    )


def test_a_column_of_paths_is_read_beside_the_table(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(PICTURES[0])
    paths = ["a/1.jpg", str(tmp_path / "a" / "1.jpg"), "a/missing.jpg", "http://host/1.jpg", None]
    path = write(tmp_path / "x.parquet", pa.table({"file": paths}))

    assert read(path, b"0/file") == read(path, b"1/file") == PICTURES[0]
    reasons = [reason_of(path, b"%d/file" % i) for i in (2, 3, 4)]
    assert reasons == ["missing", "unsupported", "not-an-image"]


def test_a_struct_without_bytes_is_read_by_its_path(tmp_path):
    (tmp_path / "1.jpg").write_bytes(PICTURES[0])
    column = pa.array(
        [{"bytes": None, "path": "1.jpg"}],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    path = write(tmp_path / "x.parquet", pa.table({"image": column}))

    assert read(path, b"0/image") == PICTURES[0]


def test_a_table_without_pictures_is_a_failure_if_named_and_ignored_in_a_folder(tmp_path):
    from imgdup.build.roots import OptionChanges

    folder = tmp_path / "folder"
    folder.mkdir()
    path = write(folder / "captions.parquet", pa.table({"caption": ["a cat"], "key": ["0"]}))

    named = update_index(tmp_path / "a", [str(path)], settings())
    scanned = update_index(
        tmp_path / "b", [str(folder)], settings(changes=OptionChanges(containers=True))
    )

    assert [failure.reason for failure in named.failures] == ["not-an-image"]
    assert (scanned.seen, scanned.ignored) == (0, 1)


def test_behind_a_broken_page_each_row_is_damaged_and_others_are_read(tmp_path):
    noise = [np.random.default_rng(i).bytes(5000) for i in range(40)]
    table = pa.table({"image": noise})
    path = tmp_path / "x.parquet"
    pq.write_table(
        table, path, row_group_size=20, data_page_size=20_000, compression="gzip",
        use_dictionary=False, write_batch_size=4,
    )  # fmt: skip
    data = bytearray(path.read_bytes())
    begin = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    data[begin + 60_000 : begin + 60_400] = bytes(400)
    path.write_bytes(data)

    outcomes = []
    for i in range(40):
        try:
            outcomes.append(read(path, b"%d/image" % i) == noise[i])
        except ImageError as error:
            outcomes.append(error.reason)

    assert outcomes[20:] == [True] * 20
    assert "damaged" in outcomes[:20]
    first = outcomes.index("damaged")
    assert outcomes[:20] == [True] * first + ["damaged"] * (20 - first)


@pytest.mark.parametrize("form", ["x.parquet", "x.arrow", "x.stream.arrow"])
@pytest.mark.parametrize("cut", [0, 10, 700])
def test_a_truncated_table_is_one_failure(tmp_path, form, cut):
    path = write(tmp_path / form, pa.table({"image": PICTURES}))
    os.truncate(path, cut)

    outcome = update_index(tmp_path / "index", [str(path)], settings())

    assert [failure.reason for failure in outcome.failures] == ["damaged"]


def test_limits_hold_for_each_cell(tmp_path):
    path = write(tmp_path / "x.parquet", pa.table({"image": [bytes(5000), b"small"]}))
    limits = Limits(max_file_bytes=1000)

    assert reason_of(path, b"0/image", limits) == "too-large"
    assert read_content(inside(os.fsencode(path), b"1/image"), limits).data == b"small"


def test_the_generation_does_not_depend_on_the_workers_and_resumes(tmp_path, monkeypatch):
    """Rows are read by their numbers, in blocks that are not in path order."""
    from imgdup.build import hash_batch as hashing
    from imgdup.index import folder

    path = write(tmp_path / "x.parquet", pa.table({"image": PICTURES * 6}), 7)
    update_index(tmp_path / "one", [str(path)], settings())
    update_index(tmp_path / "two", [str(path)], Settings(workers=2))
    real, read_names = hashing.read_content, []

    def stop(name, limits, locator=None):
        read_names.append(name)
        if len(read_names) == 14:
            raise KeyboardInterrupt
        return real(name, limits, locator)

    monkeypatch.setattr("imgdup.build.read.MAX_BATCH_FILES", 5)
    monkeypatch.setattr(hashing, "read_content", stop)
    with pytest.raises(KeyboardInterrupt):
        update_index(tmp_path / "cut", [str(path)], settings())
    update_index(tmp_path / "cut", [str(path)], settings())

    contents = [
        folder.generation_path(tmp_path / name, 1).read_bytes() for name in ("one", "two", "cut")
    ]
    assert contents[0] == contents[1] == contents[2]
    assert len(read_names) < 2 * 24
    numbers = [int(name.split(b"!/")[1].split(b"/")[0]) for name in read_names[:13]]
    assert numbers == sorted(numbers)


def test_without_pyarrow_one_line_names_the_command(tmp_path, monkeypatch):
    path = write(tmp_path / "x.parquet", pa.table({"image": PICTURES}))
    monkeypatch.delitem(sys.modules, "imgdup.containers.table", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ImgdupError, match="pip install pyarrow") as caught:
        update_index(tmp_path / "index", [str(path)], settings())

    assert "\n" not in str(caught.value)


def test_rows_of_a_table_that_moved_keep_their_hashes(tmp_path):
    path = write(tmp_path / "x.parquet", pa.table({"image": PICTURES}))
    os.utime(path, (1e9, 1e9))
    update_index(tmp_path / "index", [str(path)], settings())
    shutil.copy(path, tmp_path / "y.parquet")
    write(path, pa.table({"image": [*PICTURES, painted(9, 60, 50)]}))
    os.utime(path, (1e9 + 1, 1e9 + 1))

    outcome = update_index(tmp_path / "index", [str(path)], settings())

    assert (outcome.hashed, outcome.unchanged) == (1, 4)


def test_a_table_that_is_replaced_before_it_is_read_has_changed(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": [painted(1, 64, 48)]}), path)
    container = open_container(os.fsencode(path))
    shutil.copy(path, tmp_path / "y.parquet")
    os.replace(tmp_path / "y.parquet", path)

    with pytest.raises(ContainerChangedError):
        container.directory(LIMITS, "")
    container.file.close()


FORMS = ["x.parquet", "x.arrow", "x.stream.arrow"]


def found_in(path, name, n_rows):
    """The content of each row, or the reason why there is none."""
    found = []
    for i in range(n_rows):
        try:
            found.append(read(path, b"%d/%s" % (i, name)))
        except ImageError as error:
            found.append(error.reason)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_pictures_that_a_dictionary_stores_once_are_read_in_each_row(tmp_path, form):
    cells = [PICTURES[0], PICTURES[1], None, PICTURES[0]]
    column = pa.array(cells, pa.binary()).dictionary_encode()
    path = write(tmp_path / form, pa.table({"label": ["a"] * 4, "image": column}), 4)

    assert len(listed(path)) == 4
    assert found_in(path, b"image", 4) == [*PICTURES[:2], "not-an-image", PICTURES[0]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_paths_of_any_type_of_text_are_read(tmp_path, form, kind):
    (tmp_path / "1.jpg").write_bytes(PICTURES[1])
    column = pa.array(["1.jpg", None, "1.jpg"], pa.string())
    column = column.dictionary_encode() if kind == "dictionary" else column.cast(kind)
    path = write(tmp_path / form, pa.table({"file": column}))

    assert len(listed(path, "file")) == 3
    assert found_in(path, b"file", 3) == [PICTURES[1], "not-an-image", PICTURES[1]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "column",
    [
        pa.array([[PICTURES[0]], [], None], pa.list_(pa.binary())),
        pa.array([1, 2, None]),
        pa.nulls(3),
        pa.array([{"left": PICTURES[0]}, {"left": None}, None]),
        pa.array([{"bytes": None, "path": 7}, {"bytes": None, "path": None}, None]),
        pa.array([{"bytes": 1, "path": ""}, {"bytes": 2, "path": None}, None]),
    ],
    ids=["lists", "numbers", "nulls", "other fields", "numbers as paths", "numbers as bytes"],
)
def test_cells_of_other_types_are_rows_without_a_picture(tmp_path, form, column):
    path = write(tmp_path / form, pa.table({"cell": column}))

    assert len(listed(path, "cell")) == 3
    assert found_in(path, b"cell", 3) == ["not-an-image"] * 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("left_out", ["bytes", "path", "nothing"])
def test_a_struct_with_fewer_or_more_fields_is_read_if_it_is_named(tmp_path, form, left_out):
    (tmp_path / "2.jpg").write_bytes(PICTURES[2])
    cell = {"bytes": PICTURES[0], "path": "2.jpg", "width": 60}
    cell.pop(left_out, None)
    path = write(tmp_path / form, pa.table({"scan": pa.array([cell, None])}))

    expected = PICTURES[2] if left_out == "bytes" else PICTURES[0]
    assert listed(path).fault.reason == "not-an-image"
    assert found_in(path, b"scan", len(listed(path, "scan"))) == [expected, "not-an-image"]


@pytest.mark.parametrize("form", FORMS)
def test_each_cell_of_a_struct_is_read_from_its_bytes_before_its_path(tmp_path, form):
    (tmp_path / "3.jpg").write_bytes(PICTURES[3])
    cells = [
        {"bytes": PICTURES[0], "path": "3.jpg"},
        {"bytes": None, "path": "3.jpg"},
        {"bytes": b"", "path": "3.jpg"},
        {"bytes": None, "path": "missing.jpg"},
        {"bytes": None, "path": ""},
    ]
    fields = pa.struct({"bytes": pa.large_binary(), "path": pa.large_string()})
    path = write(tmp_path / form, pa.table({"image": pa.array(cells, fields)}))

    found = found_in(path, b"image", len(listed(path)))

    assert found == [PICTURES[0], PICTURES[3], b"", "missing", "not-an-image"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_empty", [1, 3, 8])
def test_a_column_that_begins_with_empty_cells_is_found(tmp_path, form, n_empty):
    """A row group has three rows, so the first one or two groups of some files are empty."""
    column = pa.array([None] * n_empty + PICTURES, pa.binary())
    path = write(tmp_path / form, pa.table({"masks": [b"none"] * len(column), "scan": column}))

    assert len(listed(path)) == n_empty + 4
    assert found_in(path, b"scan", n_empty + 4) == ["not-an-image"] * n_empty + PICTURES


@pytest.mark.parametrize("n_rows", [0, 2])
@pytest.mark.parametrize("form", FORMS)
def test_a_column_of_bytes_without_any_is_none_of_pictures_unless_it_is_named(
    tmp_path, form, n_rows
):
    path = write(tmp_path / form, pa.table({"image": pa.array([None] * n_rows, pa.binary())}))

    assert listed(path).fault.reason == "not-an-image"
    assert listed(path, "image").fault is None
    assert len(listed(path, "image")) == n_rows


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["scan", "Photo"], b"Photo"),
        (["photo", "IMG"], b"IMG"),
        (["webp", "picture", "jpg"], b"picture"),
        (["image", "Image"], b"image"),
    ],
)
def test_of_several_columns_of_pictures_the_most_usual_name_is_used(tmp_path, names, taken):
    path = write(tmp_path / "x.parquet", pa.table({name: PICTURES for name in names}))

    assert [each.name for each in listed(path)] == [b"%d/%s" % (i, taken) for i in range(4)]


def test_a_column_of_pictures_is_preferred_to_an_empty_one_of_structs(tmp_path):
    structs = pa.array([None] * 4, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    path = write(tmp_path / "x.parquet", pa.table({"image": structs, "scan": PICTURES}))
    other = write(tmp_path / "y.parquet", pa.table({"image": structs, "scan": [b"text"] * 4}))

    assert next(each.name for each in listed(path)) == b"0/scan"
    assert next(each.name for each in listed(other)) == b"0/image"


@pytest.mark.parametrize(
    ("n_columns", "shown"),
    [(8, "c0, c1, c2, c3, c4, c5, c6, c7"), (9, "c0, c1, c2, c3, c4, c5, c6, c7, ...")],
)
def test_at_most_eight_columns_are_named(tmp_path, n_columns, shown):
    path = write(tmp_path / "x.parquet", pa.table({f"c{i}": [i] for i in range(n_columns)}))

    assert listed(path, "image").fault.detail.endswith(f"its columns are: {shown}")
    assert f"its columns are: {shown}; --column" in listed(path).fault.detail


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("s3://bucket/1.jpg", "unsupported"),
        ("file:///1.jpg", "unsupported"),
        ("", "not-an-image"),
        (".", "unreadable"),
        ("no/../1.jpg", "missing"),
        ("a\0b", "missing"),
    ],
)
def test_a_path_in_a_table_that_names_no_file_is_reported_with_the_reason(tmp_path, cell, reason):
    path = write(tmp_path / "x.parquet", pa.table({"file": [cell]}))

    assert reason_of(path, b"0/file") == reason


def test_a_path_in_a_table_may_lead_to_the_folder_above_and_counts_from_the_table(
    tmp_path, monkeypatch
):
    (tmp_path / "tables").mkdir()
    (tmp_path / "1.jpg").write_bytes(PICTURES[1])
    path = write(tmp_path / "tables" / "x.parquet", pa.table({"file": ["../1.jpg", "1.jpg"]}))
    monkeypatch.chdir(tmp_path)

    assert found_in(path, b"file", 2) == [PICTURES[1], "missing"]


def test_a_file_that_a_table_names_is_held_to_the_limits(tmp_path):
    (tmp_path / "1.jpg").write_bytes(PICTURES[1])
    path = write(tmp_path / "x.parquet", pa.table({"file": ["1.jpg"]}))

    assert reason_of(path, b"0/file", Limits(max_file_bytes=len(PICTURES[1]) - 1)) == "too-large"
    assert reason_of(path, b"0/file", Limits(max_file_bytes=10)) == "too-large"


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_found_in_any_order_of_reading(tmp_path, form):
    cells = [b"%d" % i for i in range(40)]
    path = write(tmp_path / form, pa.table({"a": cells, "b": cells[::-1]}), 20)
    container = open_container(os.fsencode(path))
    members = [each for name in ("a", "b") for each in container.directory(LIMITS, name)]
    places = {each.name: each.place for each in members}
    order = [
        ("a", 5),
        ("a", 35),
        ("b", 35),
        ("b", 36),
        ("a", 2),
        ("a", 39),
        ("b", 0),
        ("b", 18),
        ("b", 3),
    ]

    found = [container.read(places[f"{i}/{name}".encode()], LIMITS) for name, i in order]

    container.file.close()
    assert found == [b"%d" % (i if name == "a" else 39 - i) for name, i in order]


@pytest.mark.parametrize("form", FORMS)
def test_a_row_behind_the_last_one_is_damaged(tmp_path, form):
    path = write(tmp_path / form, pa.table({"image": PICTURES}), 4)
    container = open_container(os.fsencode(path))
    (kind, group, row, *rest) = list(container.directory(LIMITS, "image"))[3].place

    for place in ((kind, group, row + 1, *rest), (kind, group + 1, 0, *rest)):
        with pytest.raises(ImageError) as caught:
            container.read(place, LIMITS)
        assert caught.value.reason == "damaged"
        assert container.head(place, 4) == b""
    assert container.head((kind, group, row, *rest), 4) == PICTURES[3][:4]
    container.file.close()
