"""The project's DAGSTER_HOME: ``dagster.yaml`` (storage, queue, retention) and the workspace of its services."""

import json
from pathlib import Path
from string import Template
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml

from orchestration.cells import endpoints
from orchestration.engines.atomic_file import write_atomically
from orchestration.settings import Settings

LOCATION = "capstone"
REPOSITORY = "__repository__"
_TEMPLATE = Path(__file__).with_name("dagster.yaml.template")


def dagster_yaml(settings: Settings) -> str:
    """Return the text of dagster.yaml for this home; it holds the password of role dagster, so never log it.

    Raises:
        EndpointError: the control cluster's address or password is not known yet.
    """
    url = urlsplit(endpoints.dsn("control", "dagster", database="dagster", settings=settings))
    values: dict[str, object] = {
        "user": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "host": url.hostname,
        "port": url.port,
        "database": unquote(url.path.lstrip("/")),
        "params": dict(parse_qsl(url.query)),
        "compute_logs": str(settings.dagster_home / "compute_logs"),
        "artifacts": str(settings.dagster_home / "artifacts"),
    }
    # JSON is YAML: a quote or a colon in a value cannot break out of its place.
    return Template(_TEMPLATE.read_text()).substitute({name: json.dumps(value) for name, value in values.items()})


def workspace_yaml(settings: Settings) -> str:
    """Return the workspace that webserver and daemon share: the one gRPC code server of this home."""
    server = {
        "host": "127.0.0.1",
        "port": endpoints.port("code_server", settings),
        "location_name": LOCATION,
    }
    return yaml.safe_dump({"load_from": [{"grpc_server": server}]}, sort_keys=False)


def workspace_file(settings: Settings) -> Path:
    """Return where the generated workspace lies."""
    return settings.dagster_home / "workspace.yaml"


def write(settings: Settings) -> bool:
    """Write dagster.yaml and workspace.yaml, mode 0600 in a 0700 folder; return whether anything changed."""
    settings.dagster_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents = {
        settings.dagster_home / "dagster.yaml": dagster_yaml(settings),
        workspace_file(settings): workspace_yaml(settings),
    }
    changed = False
    for path, text in contents.items():
        if path.exists() and path.read_text() == text:
            continue
        changed = True
        write_atomically(path, text)
    return changed
