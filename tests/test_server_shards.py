"""Shards that are served: by one process, and by a front that asks the process of each."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from index_data import FILTER_COLUMNS, some_pins, topic_model
from pintext import IndexConfig, PinIndex, ShardedIndex
from pintext.index.sharded import AnyIndex
from serving import Load, Served, free_port, until

SHARDS = 3
QUERIES = ("w1 w31 w61", "w5", "w7 w37 unknown", "w12 w13 w14", "w3 w3 w33")
PATIENT = ("--max-wait-ms", 60_000, "--timeout-seconds", 60)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root, model = tmp_path_factory.mktemp("shards"), topic_model()
    pins, config = some_pins(2000, model), IndexConfig(filter_columns=FILTER_COLUMNS)
    one = PinIndex.build(pins, model, root / "one", config=config)
    made = [root / f"shard-{part}" for part in range(1, SHARDS + 1)]
    for part, folder in enumerate(made, 1):
        PinIndex.build(pins, model, folder, config=config, shard=(part, SHARDS), tokens=one)
    model.save_pretrained(root / "model")
    return made


def search(service: Served, query: str, mode: str = "embedding", **more: Any) -> dict[str, Any]:
    answer = service.client.post("/v1/search", json={"query": query, "mode": mode, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def plain(index: AnyIndex, query: str, mode: Any = "embedding", **more: Any) -> list[Any]:
    hits = index.search(query, mode=mode, **more)
    return [[hit.id, hit.similarity, hit.bm25, list(hit.matched_tokens)] for hit in hits]


def told(answer: dict[str, Any]) -> list[Any]:
    return [
        [hit[name] for name in ("id", "similarity", "bm25", "matched_tokens")]
        for hit in answer["hits"]
    ]


def check_all_answers(service: Served, index: ShardedIndex, one: PinIndex) -> None:
    """The answers are those of the shards in this process, and of one index, to the bit."""
    for query in QUERIES:
        for mode in ("embedding", "text", "hybrid"):
            answer = search(service, query, mode)
            assert told(answer) == plain(index, query, mode) == plain(one, query, mode)
            assert answer["partial"] is False
            documents = index.documents(hit["id"] for hit in answer["hits"])
            assert [{"id": hit["id"], **hit["fields"]} for hit in answer["hits"]] == documents
        filters = {"color": ["red", "blue"], "price": {"gte": 0}}
        found = told(search(service, query, filters=filters, min_similarity=0.2))
        assert found == plain(index, query, filters=filters, min_similarity=0.2)
    related = service.client.get("/v1/related/pin-7?k=5").json()
    assert [hit["id"] for hit in related["hits"]] == [
        hit.id for hit in index.search_vector(index.vector("pin-7"), 5, exclude=("pin-7",))
    ]
    info = service.client.get("/info").json()["index"]
    assert info["pins"] == len(index) == 2000
    wrong = service.client.post("/v1/search", json={"query": "w1", "filters": {"taste": "sweet"}})
    assert wrong.status_code == 400
    assert "no field 'taste'" in wrong.text
    assert service.client.get("/v1/related/nobody").status_code == 404


def test_one_process_serves_several_folders(folders: list[Path]) -> None:
    with Served(folders[0], *folders[1:], *PATIENT, env={"PIN_TOKEN": "secret"}) as service:
        check_all_answers(
            service, ShardedIndex.open(folders), PinIndex.open(folders[0].parent / "one")
        )
        assert service.client.get("/v1/shard").status_code == 404  # no shard, but several


def test_pins_of_several_shards_are_changed_elsewhere(folders: list[Path]) -> None:
    options = ("--write-token", "env:PIN_TOKEN")
    with Served(folders[0], *folders[1:], *options, env={"PIN_TOKEN": "secret"}) as service:
        headers = {"authorization": "Bearer secret"}
        answer = service.client.delete("/v1/pins/pin-7", headers=headers)
        assert answer.status_code == 403
        assert "change the shard" in answer.text


@contextlib.contextmanager
def running(folders: list[Path]) -> Iterator[tuple[Served, list[Served]]]:
    """A front and the service of each shard."""
    with contextlib.ExitStack() as stack:
        shards = [stack.enter_context(Served(folder, *PATIENT)) for folder in folders]
        urls = [part for shard in shards for part in ("--shard", shard.url)]
        options = ("--watch-seconds", 0.1, "--shard-seconds", 30, "--recall-share", 0)
        model = folders[0].parent / "model"
        front = stack.enter_context(Served(model, *urls, *options, *PATIENT))
        yield front, shards


def test_a_front_asks_all_shards_and_lives_without_one(folders: list[Path]) -> None:
    whole, rest = ShardedIndex.open(folders), ShardedIndex.open(folders[:1] + folders[2:])
    query = QUERIES[0]
    lost = next(
        hit.id for hit in whole.search(query, 50) if hit.id in ShardedIndex.open([folders[1]])
    )
    with running(folders) as (front, shards):
        check_all_answers(front, whole, PinIndex.open(folders[0].parent / "one"))
        assert front.metric("pintext_shards_down") == 0
        with Load(front, {"query": query, "mode": "embedding"}) as load:
            until(lambda: len(load.answers) > 20)
            shards[1].kill()
            until(lambda: search(front, query)["partial"])
            until(lambda: front.metric("pintext_shards_down") == 1)
            seen = len(load.answers)
            until(lambda: len(load.answers) > seen + 20)
            for other in QUERIES:
                answer = search(front, other)
                assert answer["partial"] is True
                assert told(answer) == plain(rest, other)
            # A pin of the lost shard may come back: not "there is none".
            gone = front.client.get(f"/v1/related/{lost}")
            assert gone.status_code == 503
            assert gone.headers["retry-after"]
            assert front.client.get("/ready").status_code == 200
            assert front.metric("pintext_search_partial_total") > 20
            with Served(folders[1], *PATIENT, port=shards[1].port):
                until(lambda: not search(front, query)["partial"])
                seen = len(load.answers)
                until(lambda: len(load.answers) > seen + 20)
                until(lambda: front.metric("pintext_shards_down") == 0)
                check_all_answers(front, whole, PinIndex.open(folders[0].parent / "one"))
        # Whatever was answered meanwhile was right for the shards that were up, and said so.
        full, partial = plain(whole, query), plain(rest, query)
        assert not load.failures()
        for answer in (json.loads(text) for _, text in load.answers):
            assert told(answer) == (partial if answer["partial"] else full)
        events = [line["event"] for line in front.log()]
        assert "shard does not answer" in events
        assert events.count("shard answers") == SHARDS + 1


def test_a_front_needs_one_shard_to_start_and_takes_only_those_of_its_model(
    folders: list[Path], tmp_path: Path
) -> None:
    model = folders[0].parent / "model"
    with pytest.raises(RuntimeError, match="no shard answers"):
        Served(model, "--shard", "http://127.0.0.1:9")
    with pytest.raises(RuntimeError, match="expected an address such as"):
        Served(model, "--shard", "ftp://127.0.0.1:9")
    other = topic_model(seed=4)
    PinIndex.build(some_pins(100, other), other, tmp_path / "other")
    with Served(folders[0]) as right, Served(tmp_path / "other") as wrong:
        options = ("--shard", wrong.url, "--shard", right.url)
        with Served(model, *options) as front:
            assert search(front, "w1")["partial"] is True
            reasons = [line.get("reason", "") for line in front.log()]
            assert any(f"it has the model {other.fingerprint}" in reason for reason in reasons)


def test_a_shard_that_does_not_fit_is_left_out_until_it_does(
    folders: list[Path], tmp_path: Path
) -> None:
    model, port = folders[0].parent / "model", free_port()
    PinIndex.build(some_pins(100, topic_model()), topic_model(), tmp_path / "no-fields")
    with Served(folders[0]) as first:
        urls = ("--shard", first.url, "--shard", f"http://127.0.0.1:{port}")
        with Served(model, *urls, "--watch-seconds", 0.1) as front:
            assert search(front, "w1")["partial"] is True
            with Served(tmp_path / "no-fields", port=port):
                until(lambda: "other columns" in front.log_file.read_text())
                assert search(front, "w1")["partial"] is True
            with Served(folders[1], port=port):
                until(lambda: search(front, "w1")["partial"] is False)


def test_a_new_dictionary_is_taken_by_shards_and_front(tmp_path: Path) -> None:
    config = IndexConfig(filter_columns=FILTER_COLUMNS)
    for seed, version in enumerate(("old", "new")):
        model = topic_model(seed=seed)
        model.save_pretrained(tmp_path / version / "model")
        for part in (1, 2):
            out = tmp_path / version / f"index-{part}"
            PinIndex.build(some_pins(200, model), model, out, config=config, shard=(part, 2))
    served = tmp_path / "served"
    served.symlink_to("old")
    watch = ("--watch-seconds", 0.1)
    with Served(served / "index-1", *watch) as one, Served(served / "index-2", *watch) as two:
        urls = ("--shard", one.url, "--shard", two.url)
        with Served(served / "model", *urls, *watch) as front:
            before = front.client.get("/info").json()["model"]["fingerprint"]
            for version in ("new", "old"):  # and back
                (tmp_path / "next").symlink_to(version)
                (tmp_path / "next").rename(served)
                wanted = ShardedIndex.open(
                    [tmp_path / version / f"index-{part}" for part in (1, 2)]
                )
                fingerprint = wanted.fingerprint
                until(lambda wanted=fingerprint: served_by(front) == wanted)
                until(lambda: front.client.get("/ready").json()["warning"] is None)
                until(lambda: search(front, "w1 w31")["partial"] is False)
                assert told(search(front, "w1 w31")) == plain(wanted, "w1 w31")
            assert fingerprint == before


def served_by(service: Served) -> str:
    fingerprint: str = service.client.get("/info").json()["model"]["fingerprint"]
    return fingerprint
