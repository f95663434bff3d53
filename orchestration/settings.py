"""Every setting of the platform: its environment variable, its default, its unit, in one place.

A setting is read from the environment as ``CAPSTONE_<NAME>``. Nothing else in the project reads the
environment for configuration, so this file is the whole list.
"""

import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parents[1]

Scale = Literal["small", "medium", "large"]

# A block of consecutive ports, far from the defaults of PostgreSQL (5432), Redis (6379) and Dagster (3000),
# and below the kernel's ephemeral range (32768), so that no outgoing connection can occupy one.
DEFAULT_PORT_BASE = 27430


class SettingsError(ValueError):
    """A setting has a value that cannot work; the message names the variable and the way out."""


def _default_home() -> Path:
    """Return the state directory: /var/lib for root (an unprivileged server cannot enter /root)."""
    if os.geteuid() == 0:
        return Path("/var/lib/capstone")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "capstone"


class Settings(BaseSettings):
    """The typed settings of one platform. Immutable: a changed environment needs a new process."""

    model_config = SettingsConfigDict(env_prefix="CAPSTONE_", frozen=True, env_ignore_empty=True)

    home: Path = Field(
        default_factory=_default_home,
        description="State directory: server data, secrets, logs, Dagster home, generated docs. Outside the repo.",
    )
    port_base: int | None = Field(
        default=None,
        ge=1024,
        le=65500,
        description=f"First port of the platform's block. Unset: {DEFAULT_PORT_BASE}, or the next free block, "
        "chosen once at first start and kept in the state directory.",
    )
    scale: Scale | None = Field(
        default=None,
        description="How much to generate: small, medium or large. Unset: what this home was first filled at, "
        "or small.",
    )
    seed: int = Field(default=20260301, ge=0, description="Seed of every synthetic generator.")
    os_user: str = Field(
        default="capstone",
        description="Unprivileged OS user that the servers run as when the installer is root; made if missing.",
    )

    dsn_control: SecretStr | None = Field(
        default=None, description="Administrator's DSN of the control cluster, instead of a local one."
    )
    dsn_na: SecretStr | None = Field(
        default=None, description="Administrator's DSN of cell na, instead of a local one."
    )
    dsn_eu: SecretStr | None = Field(
        default=None, description="Administrator's DSN of cell eu, instead of a local one."
    )
    dsn_apac: SecretStr | None = Field(
        default=None, description="Administrator's DSN of cell apac, instead of a local one."
    )
    redis_url_na: SecretStr | None = Field(default=None, description="Redis URL of cell na, instead of a local one.")
    redis_url_eu: SecretStr | None = Field(default=None, description="Redis URL of cell eu, instead of a local one.")
    redis_url_apac: SecretStr | None = Field(
        default=None, description="Redis URL of cell apac, instead of a local one."
    )

    cdnow_file: Path | None = Field(
        default=None,
        description="Another purchase log in CDNOW's format, instead of the shipped one, whose checksum is verified.",
    )

    connect_timeout_seconds: int = Field(default=5, ge=1, description="Seconds to wait for a connection to a server.")
    proof_max_age_minutes: int = Field(
        default=60, ge=1, le=60, description="Minutes for which a green proof opens the gate of its cell. At most 60."
    )

    @field_validator("home")
    @classmethod
    def _home_is_usable(cls, home: Path) -> Path:
        home = home.expanduser()
        if not home.is_absolute():
            raise ValueError(f"must be an absolute path, not {str(home)!r}")
        if home == PROJECT_ROOT or PROJECT_ROOT in home.parents:
            raise ValueError(f"must lie outside the repository ({PROJECT_ROOT}): it holds data and secrets")
        return home

    @field_validator("dsn_control", "dsn_na", "dsn_eu", "dsn_apac")
    @classmethod
    def _dsn_is_a_url(cls, dsn: SecretStr | None) -> SecretStr | None:
        if dsn is not None and not dsn.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must be a URL that starts with postgresql://")
        return dsn

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def docs(self) -> Path:
        """Root of everything the documentation server serves: dbt docs and data docs, per cell."""
        return self.home / "docs"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        SettingsError: a variable has a value that cannot work; names each variable, never a secret's value.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"])
            lines.append(f"CAPSTONE_{name.upper()}: {problem['msg']}")
        raise SettingsError("unusable settings:\n  " + "\n  ".join(lines)) from None


def temporary_home() -> Path:
    """Return a new state directory that an unprivileged server may enter, for tests and benchmarks."""
    home = Path(tempfile.mkdtemp(prefix="capstone-"))
    home.chmod(0o711)
    return home
