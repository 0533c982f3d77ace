# SPDX-License-Identifier: Apache-2.0
"""The files in deploy/: as far as they can be checked where nothing of it can be started."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import hcl2
import pytest
import yaml
from conftest import BINARY, ENVIRONMENT, ROOT, run

DEPLOY = ROOT / "deploy"
TOOLS = pathlib.Path(sys.executable).parent
KUBERNETES = DEPLOY / "kubernetes"
MANIFESTS = sorted(
    path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml")


def check(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def tool(name, *arguments):
    return check(sys.executable, TOOLS / name, *arguments)


@pytest.fixture(scope="module")
def settings():
    """The environment's names of all settings."""
    return set(re.findall(r"`(TAPEDECK_[A-Z_]+)`", run("settings", "--markdown").stdout.decode()))


@pytest.fixture(scope="module")
def commands():
    return set(re.findall(r"^  ([a-z]+) ", run("--help").stdout.decode(), re.MULTILINE))


def test_compose(settings, commands):
    file = DEPLOY / "compose/compose.yaml"
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)
    compose = yaml.safe_load(file.read_text())
    for name, service in compose["services"].items():
        if service.get("image") == "tapedeck":
            assert set(key for key in service["environment"] if key.startswith("TAPEDECK_")) <= settings, name
            if "entrypoint" not in service:
                assert service["command"][0] in commands, name
        for needed in service.get("depends_on", {}):
            assert needed in compose["services"], name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (file.parent / source).exists(), volume
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    asked = set(re.findall(r"\$\{([A-Z_]+)", file.read_text())) - {"KAFKA_CLUSTER_ID", "TAPEDECK_PARTITIONS"}
    assert asked == set(re.findall(r"^#?([A-Z_]+)=", (file.parent / "env.example").read_text(), re.MULTILINE))


def test_compose_s_database_is_one_that_tapedeck_runs_on():
    binaries = pathlib.Path(check("pg_config", "--bindir").strip())
    # Not in pytest's own folders: PostgreSQL does not run as root, and its user may not enter those.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-deploy-"))
    as_server = []
    if os.geteuid() == 0:
        as_server = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    environment = ENVIRONMENT | {"PGHOST": str(folder), "WRITER_PASSWORD": "it's", "READER_PASSWORD": 'a"b'}
    try:
        check(*as_server, binaries / "initdb", "-D", data, "-U", "postgres", "--no-sync", "--auth=trust", cwd="/")
        check(*as_server, binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "start", "-o",
              f"-k {folder} -c listen_addresses='' -c fsync=off", cwd="/")
        check(DEPLOY / "compose/postgres/10-roles.sh", env=environment)
        address = f"@/tapedeck?host={folder}"
        urls = environment | {
            "TAPEDECK_DATABASE_URL": "postgresql://tapedeck_writer" + address,
            "TAPEDECK_READER_URL": "postgresql://tapedeck_reader" + address}
        assert b"applied" in run("migrate", env=urls, cwd=folder).stdout
        assert run("doctor", env=urls, cwd=folder, check=False).returncode == 1
        script = run("doctor", "--sql").stdout.decode()
        check("psql", "-X", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "tapedeck", env=environment, input=script)
        assert b"ok  reader: the reader can only read" in run("doctor", env=urls, cwd=folder, check=False).stdout
    finally:
        subprocess.run([*as_server, str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"], cwd="/")
        shutil.rmtree(folder, ignore_errors=True)


def test_the_image_has_what_the_binary_needs():
    dockerfile = DEPLOY / "Dockerfile"
    check(TOOLS / "hadolint", dockerfile, DEPLOY / "superset/Dockerfile")
    runtime = dockerfile.read_text().split("FROM debian:")[1]
    installed = set(re.search(r"no-install-recommends (.*?)\s*&&", runtime, re.DOTALL).group(1).replace("\\", " ").split())
    needed = re.findall(r"NEEDED.*\[(.+)\]", check("readelf", "-d", BINARY))
    paths = dict(re.findall(r"(\S+) => (\S+)", check("ldd", BINARY)))
    swift = re.compile(r"^(lib(swift|Foundation|_Foundation|dispatch|Blocks)|ld-linux)")
    for library in needed:
        # Swift's own are linked into the image's binary; those of every Debian are there.
        if swift.match(library):
            continue
        path = paths[library]
        owners = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True)
        if owners.returncode != 0:
            owners = subprocess.run(["dpkg", "-S", os.path.realpath(path)], capture_output=True, text=True)
        package = owners.stdout.split(":")[0]
        assert package in installed | {"libc6", "libgcc-s1", "libstdc++6"}, (library, package)


def test_the_image_is_built_from_what_the_package_is_made_of(tmp_path):
    copied = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for path in copied:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        source = ROOT / path
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    manifest = json.loads(subprocess.run(
        ["swift", "package", "--package-path", tmp_path, "dump-package"], capture_output=True, text=True).stdout)
    folders = [
        target["path"] if target.get("path") else f"{'Tests' if target['type'] == 'test' else 'Sources'}/{target['name']}"
        for target in manifest["targets"]]
    assert folders and all((tmp_path / folder).is_dir() for folder in folders), folders


def test_kubernetes(settings, commands):
    tool("kubernetes-validate", "--strict", "--quiet", *MANIFESTS)
    for kustomization in KUBERNETES.rglob("kustomization.yaml"):
        listed = set(yaml.safe_load(kustomization.read_text())["resources"])
        there = {path.name for path in kustomization.parent.glob("*.yaml") if path.name != "kustomization.yaml"}
        there |= {path.name for path in kustomization.parent.iterdir() if (path / "kustomization.yaml").exists()}
        assert listed == there, kustomization
    config = yaml.safe_load((KUBERNETES / "workloads/kustomization.yaml").read_text())["configMapGenerator"]
    names = {literal.split("=")[0] for generator in config for literal in generator["literals"]}
    names |= set(re.findall(r"^(\w+)=", (KUBERNETES / "secrets.env.example").read_text(), re.MULTILINE))
    assert names <= settings
    resources = [resource for path in MANIFESTS for resource in yaml.safe_load_all(path.read_text())]
    pods = [
        (resource["metadata"]["name"], resource["spec"]["template"])
        for resource in resources if resource["kind"] in ("Deployment", "Job")]
    assert {name for name, _ in pods} == {"ingest", "process", "serve", "migrate"}
    for name, template in pods:
        [container] = template["spec"]["containers"]
        assert container["args"][0] in commands, name
        # Each is let through the network by its name.
        assert template["metadata"]["labels"]["app.kubernetes.io/name"] == name
        if "readinessProbe" in container:
            ports = {port["name"] for port in container["ports"]}
            assert container["readinessProbe"]["httpGet"]["port"] in ports, name
    volumes = {resource["metadata"]["name"] for resource in resources if resource["kind"] == "PersistentVolumeClaim"}
    assert volumes == {"ingest"}


def test_terraform():
    files = {path.name: hcl2.loads(path.read_text()) for path in (DEPLOY / "terraform").glob("*.tf")}
    declared = {name.strip('"') for block in files["variables.tf"]["variable"] for name in block}
    used = set(re.findall(r"\bvar\.(\w+)", (DEPLOY / "terraform/main.tf").read_text()))
    assert used == declared
    text = (KUBERNETES / "network.yaml").read_text()
    rules = [yaml.safe_load(rule)["metadata"]["name"] for rule in text.split("\n---\n")]
    assert len(rules) == len(set(rules)) == len(list(yaml.safe_load_all(text)))


@pytest.mark.parametrize("unit", [
    "tapedeck-process.service", "tapedeck-serve.service", "tapedeck-ingest@tape.service",
    "tapedeck-job@forecast.service"])
def test_systemd(unit, tmp_path, settings, commands):
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text()
        for command in re.findall(r"ExecStart=/usr/local/bin/tapedeck (\w+)", text):
            assert command in commands, path
        (tmp_path / path.name).write_text(text.replace("/usr/local/bin/tapedeck", str(BINARY)))
    for template, instance in [("ingest@", "tape"), ("job@", "forecast")]:
        for suffix in ["service", "timer"]:
            source = tmp_path / f"tapedeck-{template}.{suffix}"
            if source.exists():
                shutil.copy(source, tmp_path / f"tapedeck-{template}{instance}.{suffix}")
    said = check("systemd-analyze", "verify", "--man=no", tmp_path / unit)
    assert "tapedeck" not in said, said
    # A call that is not allowed fails; it does not end the program, whose runtime makes one.
    assert "SystemCallErrorNumber=EPERM" in (tmp_path / unit).read_text()
    check("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", tmp_path / unit)
    names = set(re.findall(r"^(\w+)=", (DEPLOY / "systemd/tapedeck.env").read_text(), re.MULTILINE))
    assert names <= settings
