"""docker-compose.yml, checked as far as it can be without an engine; with Docker Compose by its own `config` too."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.cells import endpoints
from orchestration.cells.endpoints import PORT_OFFSETS
from orchestration.cells.regions import CELLS
from orchestration.engines.install.wanted_servers import POSTGRES_VARIABLES, REDIS_VARIABLES
from orchestration.settings import DEFAULT_PORT_BASE, PROJECT_ROOT, Settings

FILE = PROJECT_ROOT / "docker-compose.yml"
EXAMPLE = PROJECT_ROOT / ".env.example"


def example() -> dict[str, str]:
    lines = (line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def compose() -> dict[str, Any]:
    content = yaml.safe_load(FILE.read_text())
    assert isinstance(content, dict)
    return content


SERVICES: dict[str, dict[str, Any]] = compose()["services"]
ONE_SHOT = {
    name
    for service in SERVICES.values()
    for name, how in service.get("depends_on", {}).items()
    if how["condition"] == "service_completed_successfully"
} | {name for name, service in SERVICES.items() if service["restart"] == "no"}


def test_every_cell_has_its_own_timescaledb_redis_volumes_and_passwords() -> None:
    for kind in ("cell", "redis"):
        volumes, secrets = set(), set()
        for cell in CELLS:
            service = SERVICES[f"{kind}-{cell}"]
            volumes.add(service["volumes"][0].partition(":")[0])
            secrets.add(service["secrets"][0]["source"])
        assert len(volumes) == len(secrets) == len(CELLS)
    assert {SERVICES[f"cell-{cell}"]["image"].partition(":")[0] for cell in CELLS} == {"timescale/timescaledb"}


def test_every_image_is_pinned_to_a_version() -> None:
    for name, service in SERVICES.items():
        image, _, tag = service["image"].partition(":")
        assert (tag and tag != "latest") or image == "capstone-platform", name


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_every_service_that_goes_on_running_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(check)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_who_depends_on_a_service_waits_until_it_is_ready(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert needed in SERVICES
        if needed in ONE_SHOT:
            assert how["condition"] == "service_completed_successfully"
        else:
            assert how["condition"] in {"service_healthy", "service_started"}
            assert "healthcheck" in SERVICES[needed]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_is_published_beyond_the_loopback_interface(name: str) -> None:
    service = SERVICES[name]
    for published in service.get("ports", []):
        assert isinstance(published, str)
        assert published.startswith("127.0.0.1:"), published
    assert service.get("network_mode", "") != "host"
    assert not service.get("privileged", False)


def test_the_pages_have_the_ports_of_a_local_platform() -> None:
    for service, port in (("webserver", "webserver"), ("docs", "docs")):
        number = DEFAULT_PORT_BASE + PORT_OFFSETS[port]
        assert SERVICES[service]["ports"] == [f"127.0.0.1:{number}:{number}"]
    code_server = DEFAULT_PORT_BASE + PORT_OFFSETS["code_server"]
    assert f"--port={code_server}" in SERVICES["code-location"]["command"]
    workspace = yaml.safe_load((PROJECT_ROOT / "docker" / "workspace.yaml").read_text())
    assert workspace["load_from"][0]["grpc_server"]["port"] == code_server


def test_every_variable_of_the_platform_is_a_setting_that_exists() -> None:
    text = FILE.read_text() + EXAMPLE.read_text()
    names = set(re.findall(r"CAPSTONE_[A-Z_]+", text))
    assert names
    assert {name.removeprefix("CAPSTONE_").lower() for name in names} <= set(Settings.model_fields)


def test_the_platform_is_given_a_dsn_for_every_server(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = SERVICES["code-location"]["environment"]
    assert {*POSTGRES_VARIABLES, *REDIS_VARIABLES} <= set(environment)
    for name, value in environment.items():
        if name.startswith("CAPSTONE_"):
            monkeypatch.setenv(
                name, re.sub(r"\$\{(\w+):\?[^}]*\}", "secret", value).replace("${CAPSTONE_SCALE:-small}", "small")
            )
    settings = Settings()
    for cell in CELLS:
        where = endpoints.postgres(cell, settings)
        assert (where.host, where.port, where.database) == (f"cell-{cell}", 5432, endpoints.CELL_DATABASE)
        assert SERVICES[where.host]["environment"]["POSTGRES_DB"] == where.database
        assert endpoints.redis_url(cell, settings).endswith(f"@redis-{cell}:6379/0")
    assert endpoints.postgres("control", settings).host == "control"


def test_no_password_has_a_default_and_none_stands_in_a_file() -> None:
    passwords = {name for name in example() if name.endswith("PASSWORD")}
    assert len(passwords) == 1 + 2 * len(CELLS)
    assert all(example()[name] == "" for name in passwords)
    text = FILE.read_text()
    for name in passwords:
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
        assert uses
        assert all(use.startswith(":?") for use in uses), f"{name} may be empty"
    # Servers read theirs from a file: `docker inspect` shows an environment to everybody who may ask it.
    assert {secret["environment"] for secret in compose()["secrets"].values()} == passwords
    for service in SERVICES.values():
        assert not {"POSTGRES_PASSWORD", "REDIS_PASSWORD"} & set(service.get("environment", {}))
        assert service.get("environment", {}).get("POSTGRES_HOST_AUTH_METHOD") is None


def test_every_volume_and_secret_that_is_used_is_declared_and_the_reverse() -> None:
    used_volumes = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    used_secrets = {secret["source"] for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used_volumes == set(compose()["volumes"])
    assert used_secrets == set(compose()["secrets"])


def test_every_file_that_the_containers_start_from_is_there() -> None:
    for service in SERVICES.values():
        for word in service.get("command", []):
            for name in re.findall(r"docker/[\w.]+", word):
                assert (PROJECT_ROOT / name).is_file()
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (PROJECT_ROOT / volume.partition(":")[0]).is_file()
    copied = re.findall(r"^COPY (orchestration/\S+)", dockerfile(), re.MULTILINE)
    assert copied
    assert all((PROJECT_ROOT / name).exists() for name in copied)


def dockerfile() -> str:
    return (PROJECT_ROOT / "docker" / "Dockerfile").read_text()


def test_the_image_installs_the_lock_and_does_not_run_as_root() -> None:
    text = dockerfile()
    assert "--require-hashes" in text
    assert all("--frozen" in line for line in text.splitlines() if "uv sync" in line)
    users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert users
    assert users[-1] not in {"root", "0"}
    ignored = (PROJECT_ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {".env", ".git", ".venv"} <= set(ignored)


def compose_command() -> list[str] | None:
    """Return how Docker Compose 2 is called here, None when this machine has none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        answer = subprocess.run([*command, "version", "--short"], check=False, capture_output=True, text=True)
        if answer.returncode == 0 and re.match(r"v?[2-9]", answer.stdout):
            return command
    return None


def test_docker_compose_reads_the_file_and_refuses_it_without_passwords(tmp_path: Path) -> None:
    """Where Docker Compose is not installed, its own reading is replaced by that of the interpolations alone."""
    command = compose_command()
    if command is None:
        assert set(re.findall(r"\$\{(\w+)[:}]", FILE.read_text())) == set(example())
        return
    filled, empty = tmp_path / "filled", tmp_path / "empty"
    filled.write_text("".join(f"{name}={value or 'x1y2'}\n" for name, value in example().items()))
    empty.write_text(EXAMPLE.read_text())
    environment = {name: value for name, value in os.environ.items() if name not in example()}
    for file, status in ((filled, True), (empty, False)):
        result = subprocess.run(
            [*command, "-f", FILE, "--env-file", file, "config", "--quiet"],
            check=False, capture_output=True, text=True, env=environment,
        )  # fmt: skip
        assert (result.returncode == 0) is status, result.stderr
