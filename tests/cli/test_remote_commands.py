"""Every command on pictures that are on servers; no secret is ever printed or stored."""

import json
import subprocess
import sys

import pytest

from cli_runs import run as run_outside, run_here
from encoded import painted
from imgdup import cli
from imgdup.apply import recheck
from imgdup.containers import reading
from object_servers import BUCKET, SECRET, tarred

ROOT = f"s3://{BUCKET}"
PASSWORD = "hunter2"


@pytest.fixture
def stored(tmp_path, monkeypatch, bucket):
    """A bucket with four pictures, two of which are also in a tar file there; not yet indexed."""
    monkeypatch.chdir(tmp_path)
    pictures = {f"{name}.jpg": painted(seed, 160, 120) for seed, name in enumerate("abcd")}
    bucket.objects.update({f"set/{name}": data for name, data in pictures.items()})
    bucket.objects["set/x.tar"] = tarred({name: pictures[name] for name in ("a.jpg", "b.jpg")})
    (tmp_path / "probe.jpg").write_bytes(pictures["a.jpg"])
    return bucket


@pytest.fixture
def indexed_bucket(stored, in_process):
    assert cli.main(["index", f"{ROOT}/set", "--containers", "--quiet"]) == 0
    return stored


def paths(capfd, *args):
    code, out, _ = run_here(capfd, *args, "--json")
    assert code in (0, 4)
    return {each["path"] for line in out.splitlines() if "path" in (each := json.loads(line))}


def test_query_finds_objects_and_members_and_accepts_them_as_probes(indexed_bucket, capfd):
    both = {f"{ROOT}/set/a.jpg", f"{ROOT}/set/x.tar!/a.jpg"}

    assert paths(capfd, "query", "probe.jpg", "--verify") == both
    assert paths(capfd, "query", f"{ROOT}/set/a.jpg", "--verify") == both
    assert paths(capfd, "query", f"{ROOT}/set/x.tar!/a.jpg") == both
    assert paths(capfd, "query", f"tar://a.jpg::{ROOT}/set/x.tar") == both
    assert paths(capfd, "query", f"{indexed_bucket.url}/set/a.jpg") == both


def test_pairs_compare_and_check_read_from_the_server(indexed_bucket, capfd):
    code, out, _ = run_here(capfd, "pairs", "--verify", "--json")
    found = [(line["a"], line["b"]) for line in map(json.loads, out.splitlines())]
    leaks = paths(capfd, "compare", f"{ROOT}/set/c.jpg", f"{ROOT}/set/x.tar", "--json")
    checked, _, err = run_here(capfd, "check", "--deep")

    assert code == 0
    assert found == [(f"{ROOT}/set/{name}.jpg", f"{ROOT}/set/x.tar!/{name}.jpg") for name in "ab"]
    assert leaks == set()
    assert checked == 0, err


def test_reports_show_pictures_of_the_server(indexed_bucket, capfd, tmp_path):
    code, _, err = run_here(capfd, "dedupe", "--plan", "plan.jsonl", "--report", "page.html")

    assert code == 0, err
    assert (tmp_path / "page.html").read_text().count("/9j/") == 4  # JPEG in base 64


@pytest.mark.parametrize("action", ["--delete", "--move-to=away", "--hardlink", "--symlink"])
def test_apply_refuses_objects_in_one_line_and_changes_nothing(
    indexed_bucket, capfd, tmp_path, action
):
    before = dict(indexed_bucket.objects)
    run_here(capfd, "dedupe", "--plan", "plan.jsonl", "--keep", f"under:{ROOT}/set/x.tar")
    lines = map(json.loads, (tmp_path / "plan.jsonl").read_text().splitlines()[1:])
    assert [line["remove"] for line in lines] == [f"{ROOT}/set/{name}.jpg" for name in "ab"]
    indexed_bucket.log.clear()

    code, _, err = run_here(capfd, "apply", "plan.jsonl", action, "--yes")

    assert code == 1
    assert "imgdup apply changes none of these" in err
    assert {method for method, _, _ in indexed_bucket.log} <= {"GET", "HEAD"}
    assert indexed_bucket.objects == before


def test_a_set_on_a_server_is_written_cleaned_to_a_folder(indexed_bucket, capfd, tmp_path):
    before = dict(indexed_bucket.objects)
    code, _, err = run_here(capfd, "dedupe", "--plan", "plan.jsonl")
    assert code == 0
    assert "to write the set without these, run: imgdup apply plan.jsonl --write-to" in err

    code, _, err = run_here(capfd, "apply", "plan.jsonl", "--write-to", "cleaned")

    assert code == 0, err
    kept = {path.name: path.read_bytes() for path in (tmp_path / "cleaned").iterdir()}
    assert set(kept) == {"c.jpg", "d.jpg", "x.tar", "manifest.jsonl"}
    assert all(kept[name] == before[f"set/{name}"] for name in ("c.jpg", "d.jpg", "x.tar"))
    assert indexed_bucket.objects == before


def test_an_object_is_never_mistaken_for_a_local_file_by_apply(indexed_bucket, tmp_path):
    folder = tmp_path / "s3:" / BUCKET / "set"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a local file whose name only looks like an address")

    facts = type("Facts", (), {"path": f"{ROOT}/set/a.jpg".encode()})()
    with pytest.raises(recheck.SkipFile, match="server"):
        recheck.Recheck()._check(facts)


def test_no_secret_reaches_an_output_or_a_file(indexed_bucket, capfd, tmp_path):
    printed = ""
    for args in (
        ["index", "--rehash"],
        ["info", "--json"],
        ["dedupe", "--plan", "plan.jsonl", "--report", "page.html"],
        ["query", "probe.jpg", "--explain"],
    ):
        printed += "".join(run_here(capfd, *args)[1:])
    indexed_bucket.status = 403
    for args in (["index"], ["query", f"{ROOT}/set/a.jpg"], ["index", f"{ROOT}/other"]):
        code, out, err = run_here(capfd, *args)
        assert code != 0
        printed += out + err

    stored = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(stored) > 4
    assert SECRET not in printed
    assert not [data for data in stored if SECRET.encode() in data]


@pytest.mark.parametrize("command", ["index", "query", "forget"])
@pytest.mark.parametrize(
    "address",
    [
        f"s3://user:{PASSWORD}@{BUCKET}/a.jpg",
        f"https://user:{PASSWORD}@example.org/a.jpg",
        f"https://example.org/a.jpg?token={PASSWORD}",
        f"HTTPS://example.org/?sig={PASSWORD}",
        f"https://example.org#{PASSWORD}",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(
    indexed_bucket, capfd, command, address
):
    code, out, err = run_here(capfd, command, address)

    assert code == 2
    assert err.count("\n") == 1
    assert PASSWORD not in out + err


def test_texts_of_the_transport_are_not_shown(monkeypatch, bucket):
    exceptions = pytest.importorskip("obstore.exceptions")
    address = f"https://x.blob.core.windows.net/a?sig={PASSWORD}"
    text = f"GET {address} - status code: 503 Busy: <Code>B</Code>"

    error = reading.remote()._as_os_error(exceptions.GenericError(text))

    assert PASSWORD not in repr(error)
    assert "503 Busy, B" in str(error)


def test_a_missing_package_is_named_in_one_line(tmp_path):
    script = (
        "import sys; sys.modules['obstore'] = None; "
        "from imgdup import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "index", f"{ROOT}/set"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
    )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'neardup[remote]'" in done.stderr


def test_a_server_that_is_not_there_is_named_in_one_line(bucket, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bucket.server_close()

    code, _, err = run_here(capfd, "index", f"{ROOT}/set")

    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith(f"imgdup: {ROOT}/set: the server cannot be reached")


def test_worker_processes_read_from_the_server(stored, tmp_path):
    done = run_outside("index", f"{ROOT}/set", "--containers", "--workers", "2", cwd=tmp_path)

    assert done.code == 0, done.err
    assert b"6 seen: 6 hashed" in done.out + done.err
    assert sorted(set(stored.gets())) == [
        "set/a.jpg",
        "set/b.jpg",
        "set/c.jpg",
        "set/d.jpg",
        "set/x.tar",
    ]
