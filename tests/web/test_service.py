"""What the service answers, compared with the command line and the index that it is made from."""

import json
import time
import zipfile

import cv2
import numpy as np
import pytest

from imgdup import cli
from imgdup.api.index import ImageIndex
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.search import to_hex
from served import client_of

pytestmark = pytest.mark.usefixtures("in_process")


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def groups_of(client, **values):
    """Ask for groups until the pictures are compared."""
    while (answer := client.get("/api/groups", params=values)).status_code == 202:
        assert answer.headers["Retry-After"] == "1"
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    return answer.json()


def plan_of(client, **values):
    while (answer := client.post("/api/plan", json=values)).status_code == 202:
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    return answer


def id_of(client, name):
    """The id of the image with a name, by a search for itself among all."""
    records = client.post("/api/query?max_dist=64", json={"hash": "0" * 16}).json()["matches"]
    return next(each["id"] for each in records if each["path"].endswith(name))


def refused(answer):
    """The status and the word of an answer that refuses."""
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error", "detail"}
    return answer.status_code, answer.json()["error"]


def command(capsys, *args):
    assert cli.main([str(arg) for arg in args]) == 0
    return capsys.readouterr().out


def test_info_has_the_keys_of_the_command(served, painted_index, capsys):
    printed = json.loads(command(capsys, "info", "--json", "--index", painted_index / ".imgdup"))

    record = served.get("/api/info").json()

    volatile = {"bytes"}  # the index folder keeps verdicts
    assert {k: v for k, v in printed.items() if k not in volatile}.items() <= record.items()


@pytest.mark.parametrize("options", [{}, {"max_dist": 20}, {"k": 3}, {"by": "match"}])
def test_a_query_finds_what_the_command_finds(served, painted_index, capsys, options):
    photo = painted_index / "photos" / "q1.png"
    typed = [part for name, value in options.items() for part in (_option(name), value)]
    printed = lines(
        command(capsys, "query", photo, "--json", *typed, "--index", painted_index / ".imgdup")
    )

    answer = served.post(
        "/api/query",
        params=options,
        content=photo.read_bytes(),
        headers={"Content-Type": "image/png"},
    )

    assert answer.status_code == 200
    found = answer.json()["matches"]
    assert printed
    for record, expected in zip(found, printed, strict=True):
        del expected["probe"], expected["is_probe"]
        assert expected.items() <= record.items()


def _option(name):
    return "-k" if name == "k" else "--" + name.replace("_", "-")


def test_a_query_compares_pictures_and_turns_them(served, painted_index):
    turned = cv2.rotate(
        cv2.imread(str(painted_index / "photos" / "p2.jpg")), cv2.ROTATE_90_CLOCKWISE
    )
    data = cv2.imencode(".png", turned)[1].tobytes()

    answer = served.post(
        "/api/query?orientations=true&verify=true",
        content=data,
        headers={"Content-Type": "image/png"},
    )

    first = answer.json()["matches"][0]
    assert first["path"].endswith(("p2.jpg", "q2.png"))
    assert first["orientation"] != "none"
    assert first["relation"] == "turned"


def test_an_indexed_image_finds_itself_and_its_copies(served):
    own = id_of(served, "p0.jpg")

    found = served.post("/api/query", json={"id": own}).json()["matches"]

    names = {each["path"].rpartition("/")[2] for each in found}
    assert {"p0.jpg", "copy.jpg", "q0.png"} <= names
    assert [each["id"] for each in found if each["is_probe"]] == [own]


def test_an_indexed_image_is_compared_and_turned(served):
    values = {"verify": "true", "orientations": "1", "limit": "5"}

    found = served.post("/api/query", params=values, json={"id": id_of(served, "p3.jpg")}).json()

    relations = {each["path"].rpartition("/")[2]: each["relation"] for each in found["matches"]}
    assert relations["p3.jpg"] == "same-bytes"
    assert relations["q3.png"] == "same-picture"


def test_a_hash_finds_what_a_scan_finds(served, painted_index):
    index = ImageIndex.open(painted_index / ".imgdup")
    hashes = index.column("hashes")
    probe = hashes[4] ^ np.uint64(0b111)
    expected = sorted(
        (int(np.bitwise_count(each ^ probe).sum()), row) for row, each in enumerate(hashes)
    )

    record = {"hash": to_hex(probe[np.newaxis])[0]}
    found = served.post("/api/query?max_dist=20", json=record).json()["matches"]

    rows = [(each["distance"], int(each["id"].partition("-")[2])) for each in found]
    assert rows == [(distance, row) for distance, row in expected if distance <= 20]
    assert all(each["match_distance"] is None and not each["duplicate"] for each in found)


def test_a_hash_may_be_given_with_its_match_hash(served, painted_index):
    index = ImageIndex.open(painted_index / ".imgdup")
    search, match = (to_hex(index.column(name)[:1])[0] for name in ("hashes", "match"))

    found = served.post("/api/query", json={"hash": search, "match": match}).json()["matches"]

    assert (found[0]["distance"], found[0]["match_distance"], found[0]["duplicate"]) == (0, 0, True)


def test_a_response_states_whether_there_are_more_matches(served):
    answer = served.post("/api/query?max_dist=64&limit=2", json={"hash": "0" * 16}).json()

    assert len(answer["matches"]) == 2
    assert answer["more"] is True


@pytest.mark.parametrize(
    ("values", "body", "detail"),
    [
        ("max_dist=65", {"hash": "0" * 16}, "max_dist must be a whole number from 0 to 64"),
        ("max_dist=-1", {"hash": "0" * 16}, "max_dist must be a whole number"),
        ("k=0", {"hash": "0" * 16}, "k must be a whole number from 1"),
        ("by=sha", {"hash": "0" * 16}, "by must be one of search, match, pdq"),
        ("maxdist=3", {"hash": "0" * 16}, "the parameters are by, k,"),
        ("verify=maybe", {"hash": "0" * 16}, "verify must be true or false"),
        ("verify=1", {"hash": "0" * 16}, "a hash can be neither turned nor compared"),
        ("verify=1&limit=1000", {"hash": "0" * 16}, "limit must be a whole number from 1 to 100"),
        ("by=match", {"hash": "0" * 16}, "name the match hash"),
        ("by=pdq", {"hash": "0" * 16, "match": "0" * 64}, "name the pdq hash"),
        ("", {"hash": "0" * 15}, "hash must be 16 hexadecimal digits"),
        ("", {"hash": "z" * 16}, "hash must be 16 hexadecimal digits"),
        ("", {"hash": 3}, "hash must be 16 hexadecimal digits"),
        ("", {"hash": "0" * 16, "match": "z" * 64}, "match must be 64 hexadecimal digits"),
        ("", {"hash": "0" * 16, "match": "0" * 64, "quality": -1}, "'quality' must be an integer"),
        ("", {"hash": "0" * 16, "quality": "good"}, "'quality' must be an integer"),
        ("", {"hash": "0" * 16, "id": "0-0"}, "name an image by id, or a hash"),
        ("", {"id": 3}, "name an image by id, or a hash"),
        ("", {"url": "http://169.254.169.254/"}, "name an image by id, or a hash"),
        ("", {}, "name an image by id, or a hash"),
        ("url=http://169.254.169.254/", {"hash": "0" * 16}, "the parameters are by, k,"),
    ],
)
def test_a_wrong_value_is_named(served, values, body, detail):
    answer = served.post(f"/api/query?{values}", json=body)

    assert refused(answer) == (422, "wrong-value")
    assert answer.json()["detail"].startswith(detail)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a": 1, "a": 2}', b"\xff", b"[" * 99_999])
def test_a_body_that_is_no_object_is_refused(served, body):
    headers = {"Content-Type": "application/json"}

    for address in ("/api/query", "/api/decisions", "/api/plan"):
        assert refused(served.post(address, content=body, headers=headers)) == (422, "wrong-value")


def test_the_facts_of_an_image_are_those_of_the_index_and_of_its_file(served, painted_index):
    record = served.get(f"/api/images/{id_of(served, 'p1.jpg')}?facts=true").json()

    path = painted_index / "photos" / "p1.jpg"
    assert (record["width"], record["height"], record["format"]) == (320, 240, "jpeg")
    assert record["size"] == path.stat().st_size
    assert record["path"] == str(path.resolve())
    assert record["facts"]["colour"] == "colour"
    assert record["facts"]["n_pages"] == 1


@pytest.mark.parametrize("side", [100, 220])
def test_a_thumbnail_is_a_new_small_jpeg_file(served, painted_index, side):
    answer = served.get(f"/api/images/{id_of(served, 'p1.jpg')}/thumbnail?side={side}")

    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    whole = cv2.imread(str(painted_index / "photos" / "p1.jpg"))
    assert max(drawn.shape) == side
    small = cv2.resize(whole, drawn.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(drawn.astype(int) - small).mean() < 6


@pytest.mark.parametrize(
    ("number", "word"),
    [
        ("999999", "no-such-image"),
        ("x", "no-such-image"),
        ("-1", "no-such-image"),
        ("", "not-found"),
    ],
)
def test_an_id_that_no_image_has_is_not_found(served, number, word):
    prefix = id_of(served, "p0.jpg").partition("-")[0] + "-" if number else ""

    assert refused(served.get(f"/api/images/{prefix}{number}")) == (404, word)


def test_groups_are_those_of_dedupe(served, painted_index, tmp_path, capsys):
    table = tmp_path / "groups.jsonl"
    command(capsys, "dedupe", "--index", painted_index / ".imgdup", "--groups", table, "--json")
    expected = [record for record in lines(table.read_text()) if record["role"] == "remove"]

    answer = groups_of(served)

    paths = {group["keeper"]["id"]: group["keeper"]["path"] for group in answer["groups"]}
    found = [
        {
            key: {**each, "duplicate_of": paths[each["duplicate_of"]]}[key]
            for key in expected[0]
            if key != "group"
        }
        for group in answer["groups"]
        for each in group["files"]
        if each["role"] == "remove"
    ]
    for record in expected:
        del record["group"]
    order = lambda record: record["path"]  # noqa: E731
    assert sorted(found, key=order) == sorted(expected, key=order)
    assert answer["n_groups"] == len(answer["groups"]) == 5
    assert answer["saving"] == sum(record["size"] for record in expected)
    savings = [group["saving"] for group in answer["groups"]]
    assert savings == sorted(savings, reverse=True)


def test_groups_are_filtered_by_relation_distance_and_text(served):
    every = groups_of(served)["groups"]

    same_bytes = groups_of(served, relation="same-bytes")
    far = groups_of(served, min_distance=1)
    named = groups_of(served, text="Q3.PNG")

    assert [group["group"] for group in same_bytes["groups"]] == [
        g["group"] for g in every if any(f["relation"] == "same-bytes" for f in g["files"])
    ]
    assert same_bytes["n_groups"] == 1
    assert [group["group"] for group in far["groups"]] == [
        g["group"] for g in every if max(f["distance"] for f in g["files"]) >= 1
    ]
    assert named["n_groups"] == 1
    assert groups_of(served, page=2) | {"groups": []} == groups_of(served, page=2)
    assert groups_of(served, relation="turned")["n_groups"] == 0


def test_filters_name_the_relations_and_folders_of_groups_with_their_numbers(served, painted_index):
    photos = str(painted_index / "photos")

    filters = served.get("/api/filters").json()

    assert filters["folders"] == [{"folder": photos, "n_groups": 5}]
    assert {each["relation"]: each["n_groups"] for each in filters["relations"]} == {
        name: groups_of(served, relation=name)["n_groups"]
        for name in ("same-bytes", "same-picture")
    }
    assert groups_of(served, folder=photos)["n_groups"] == 5
    assert groups_of(served, folder=f"{photos}/below")["n_groups"] == 0


def test_the_plan_is_that_of_dedupe_byte_for_byte(served, painted_index, tmp_path, capsys):
    command(
        capsys, "dedupe", "--index", painted_index / ".imgdup", "--plan", tmp_path / "plan.jsonl"
    )

    answer = plan_of(served)

    assert answer.content == (tmp_path / "plan.jsonl").read_bytes()
    assert answer.headers["content-disposition"] == 'attachment; filename="plan.jsonl"'


def decide(client, *decisions):
    answer = client.post("/api/decisions", json={"decisions": list(decisions)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_with_decisions_the_plan_is_that_of_dedupe_byte_for_byte(client, place, tmp_path, capsys):
    groups = groups_of(client)["groups"]
    decide(
        client,
        {"decision": "prefer", "id": groups[1]["files"][0]["id"]},
        {"decision": "keep", "id": groups[2]["files"][0]["id"]},
        {
            "decision": "different",
            "id": groups[3]["keeper"]["id"],
            "other": groups[3]["files"][0]["id"],
        },
    )

    plan = plan_of(client).content

    index = place / ".imgdup"
    args = ["dedupe", "--index", index, "--decisions", index / "decisions.jsonl"]
    command(capsys, *args, "--plan", tmp_path / "plan.jsonl")
    assert plan == (tmp_path / "plan.jsonl").read_bytes()
    removed = {each["remove"] for each in lines(plan.decode())[1:]}
    assert groups[1]["keeper"]["path"] in removed
    assert groups[2]["files"][0]["path"] not in removed
    assert groups[3]["files"][0]["path"] not in removed
    assert command(capsys, "check", tmp_path / "plan.jsonl", "--index", index)


def test_decisions_move_no_group_and_are_listed(client):
    before = groups_of(client)
    pair = before["groups"][0]["keeper"]["id"], before["groups"][0]["files"][-1]["id"]

    decide(client, {"decision": "different", "id": pair[0], "other": pair[1]})
    decide(client, {"decision": "prefer", "id": before["groups"][1]["keeper"]["id"]})

    after = groups_of(client)
    assert [g["group"] for g in after["groups"]] == [g["group"] for g in before["groups"]]
    assert after["groups"][0]["files"][-1]["pair_decision"] == "different"
    assert after["groups"][1]["keeper"]["decision"] == "prefer"
    listed = client.get("/api/decisions").json()
    assert [each["decision"] for each in listed["decisions"]] == ["different", "prefer"]
    assert client.get("/api/info").json()["decisions"] == 2


def test_a_decision_is_undone(client):
    own = groups_of(client)["groups"][0]["keeper"]["id"]
    written = decide(client, {"decision": "keep", "id": own})["decisions"][0]

    decide(client, {**written, "decision": "undecided"})

    assert client.get("/api/decisions").json()["decisions"] == []


def test_a_decision_is_only_undone_if_it_is_still_in_effect(client):
    own = groups_of(client)["groups"][0]["keeper"]["id"]
    decide(client, {"decision": "keep", "id": own})
    decide(client, {"decision": "prefer", "id": own})

    late = decide(client, {"decision": "undecided", "id": own, "replaces": "keep"})

    assert late == {"n_written": 0, "decisions": []}
    assert [each["decision"] for each in client.get("/api/decisions").json()["decisions"]] == [
        "prefer"
    ]
    assert decide(client, {"decision": "undecided", "id": own, "replaces": "prefer"})["n_written"]
    wrong = {"decision": "keep", "id": own, "replaces": "nothing"}
    assert refused(client.post("/api/decisions", json={"decisions": [wrong]}))[0] == 422


def test_all_groups_of_a_filter_are_accepted_and_a_plan_of_these_is_checked(
    client, place, tmp_path, capsys
):
    answer = client.post("/api/decisions", json={"accept": {"relation": "same-bytes"}})
    while answer.status_code == 202:
        time.sleep(0.1)
        answer = client.post("/api/decisions", json={"accept": {"relation": "same-bytes"}})
    group = groups_of(client, relation="same-bytes")["groups"][0]

    assert answer.json()["n_written"] == len({each["digest"] for each in group["files"]})
    assert {each["pair_decision"] for each in group["files"]} == {"duplicate"}
    plan = plan_of(client, accepted_only=True)
    removed = [each["remove"] for each in lines(plan.text)[1:]]
    assert sorted(removed) == sorted(each["path"] for each in group["files"])
    (tmp_path / "plan.jsonl").write_bytes(plan.content)
    command(capsys, "check", tmp_path / "plan.jsonl", "--index", place / ".imgdup")
    again = client.post("/api/decisions", json={"accept": {"relation": "same-bytes"}})
    assert again.json()["n_written"] == 0


def test_of_equal_bytes_the_preferred_file_is_kept(client):
    group = groups_of(client, relation="same-bytes")["groups"][0]
    copy = next(each for each in group["files"] if each["relation"] == "same-bytes")

    decide(client, {"decision": "prefer", "id": copy["id"]})

    removed = {each["remove"] for each in lines(plan_of(client).text)[1:]}
    assert group["keeper"]["path"] in removed
    assert copy["path"] not in removed
    files = groups_of(client, relation="same-bytes")["groups"][0]
    assert files["keeper"]["decision"] is None
    assert {each["decision"] for each in files["files"] if each["id"] == copy["id"]} == {"prefer"}


WRONG_DECISIONS = [
    {},
    {"decisions": []},
    {"decisions": [3]},
    {"decisions": [{"decision": "keep"}]},
    {"decisions": [{"decision": "delete", "digest": "0" * 32}]},
    {"decisions": [{"decision": "prefer", "digest": "0" * 32, "other": "1" * 32}]},
    {"decisions": [{"decision": "keep", "digest": "0" * 32, "path": 3}]},
    {"decisions": [{"decision": "keep", "id": 3}]},
    {"decisions": [{"decision": "keep", "id": "0-0", "path": "/a"}]},
    {"accept": {"relation": "nearly"}},
    {"accept": {"colour": "red"}},
    {"accept": {"text": None}},
    {"accept": {}, "decisions": []},
]


def test_a_wrong_decision_writes_nothing(client, place):
    for body in WRONG_DECISIONS:
        assert refused(client.post("/api/decisions", json=body)) == (422, "wrong-value"), body

    assert not (place / ".imgdup" / "decisions.jsonl").exists()


def test_two_files_of_equal_bytes_cannot_be_different_and_are_duplicates(client):
    twins = [id_of(client, name) for name in ("/p0.jpg", "/copy.jpg")]

    def decide(word):
        record = {"decision": word, "id": twins[0], "other": twins[1]}
        return client.post("/api/decisions", json={"decisions": [record]})

    answer = decide("different")
    assert refused(answer) == (422, "wrong-value")
    assert answer.json()["detail"] == "the two files have equal bytes"
    assert "other" not in decide("duplicate").json()["decisions"][0]


@pytest.mark.parametrize("body", [{"accepted_only": "yes"}, {"accepted_only": 1}, {"all": True}])
def test_a_wrong_body_makes_no_plan(served, body):
    answer = served.post("/api/plan", json=body)

    assert refused(answer) == (422, "wrong-value")
    assert answer.json()["detail"] == "the body may have accepted_only, true or false"


def test_a_new_generation_is_served_and_old_ids_are_refused(client, place):
    old = id_of(client, "p0.jpg")
    (place / "photos" / "p4.jpg").unlink()
    ImageIndex.build(place / "photos", place / ".imgdup", progress=False)

    for answer in (
        client.get(f"/api/images/{old}"),
        client.get(f"/api/images/{old}/thumbnail"),
        client.post("/api/query", json={"id": old}),
        client.post("/api/decisions", json={"decisions": [{"decision": "keep", "id": old}]}),
    ):
        assert refused(answer) == (409, "old-generation")
    assert client.get("/api/info").json()["images"] == 10
    assert id_of(client, "p0.jpg") != old
    assert client.get(f"/api/images/{id_of(client, 'p0.jpg')}").status_code == 200


def test_an_index_that_was_deleted_is_reported(client, place):
    (place / ".imgdup" / "current").unlink()

    for address in ("/api/health", "/api/info", "/api/groups"):
        assert refused(client.get(address)) == (503, "no-index")


def test_a_file_that_is_missing_or_changed_has_no_thumbnail(client, place):
    gone, changed, linked = (id_of(client, name) for name in ("p1.jpg", "p2.jpg", "p3.jpg"))
    (place / "photos" / "p1.jpg").unlink()
    (place / "photos" / "p2.jpg").write_bytes((place / "photos" / "p0.jpg").read_bytes())
    (place / "photos" / "p3.jpg").rename(place / "outside.jpg")
    (place / "photos" / "p3.jpg").symlink_to(place / "outside.jpg")

    assert refused(client.get(f"/api/images/{gone}/thumbnail")) == (410, "missing")
    assert refused(client.get(f"/api/images/{changed}/thumbnail")) == (410, "changed")
    assert refused(client.get(f"/api/images/{linked}/thumbnail")) == (410, "missing")
    assert refused(client.get(f"/api/images/{gone}?facts=1")) == (410, "missing")


def test_the_document_describes_every_address(served):
    document = served.get("/api/openapi.json").json()

    described = {
        (method.upper(), path) for path, each in document["paths"].items() for method in each
    }
    routes = {
        (method, route.path)
        for route in served.app.routes
        for method in route.methods - {"HEAD"}
        if route.path.startswith("/api/")
    }
    assert described == routes


def test_pictures_in_an_archive_are_served_as_files_are(place, in_process):
    with zipfile.ZipFile(place / "photos" / "more.zip", "w") as archive:
        archive.write(place / "photos" / "p4.jpg", "inside/p4.jpg")
    settings = Settings(changes=OptionChanges(containers=True))
    ImageIndex.build(place / "photos", place / ".imgdup", settings, progress=False)

    with client_of(place) as client:
        own = id_of(client, "inside/p4.jpg")
        drawn = client.get(f"/api/images/{own}/thumbnail")
        turned = client.post("/api/query?orientations=1", json={"id": own}).json()["matches"]

    assert drawn.headers["content-type"] == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(drawn.content, np.uint8), cv2.IMREAD_COLOR).shape[1] == 220
    assert {"p4.jpg", "q4.png"} <= {each["path"].rpartition("/")[2] for each in turned}
