"""The webserver's GraphQL interface: one small client, errors turned into exceptions."""

import http.client
import json
from dataclasses import dataclass
from typing import Any

from orchestration.cells import endpoints
from orchestration.settings import Settings

# Answers come from PostgreSQL on a machine that may be busy filling three cells.
REQUEST_TIMEOUT_SECONDS = 60.0


class WebserverUnavailableError(RuntimeError):
    """The Dagster webserver does not answer; the message says how to start it."""


class GraphQLError(RuntimeError):
    """The webserver refused a query or reported an error of its own."""


@dataclass(frozen=True)
class DagsterGraphQL:
    """A client of one webserver on this machine."""

    port: int
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS

    @classmethod
    def of(cls, settings: Settings, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> "DagsterGraphQL":
        """Return the client of this home's webserver."""
        return cls(endpoints.port("webserver", settings), timeout_seconds)

    def query(self, document: str, **variables: object) -> dict[str, Any]:
        """Return the ``data`` of a query or mutation.

        Raises:
            WebserverUnavailableError: nothing answers on the webserver's port, or not in time.
            GraphQLError: the answer is not one, or says that the query failed.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_seconds)
        try:
            connection.request(
                "POST",
                "/graphql",
                json.dumps({"query": document, "variables": variables}),
                {"Content-Type": "application/json"},
            )
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise WebserverUnavailableError(
                f"the Dagster webserver at 127.0.0.1:{self.port} does not answer ({error or type(error).__name__}): "
                "start it with `capstone up`"
            ) from None
        finally:
            connection.close()
        try:
            answer = json.loads(body)
        except ValueError:
            raise GraphQLError(f"the webserver answered {response.status} with no JSON") from None
        if not isinstance(answer, dict) or answer.get("errors") or not isinstance(answer.get("data"), dict):
            problems = answer.get("errors") if isinstance(answer, dict) else None
            # The first line: what follows may be a statement of a hundred lines.
            first = problems[0].get("message", "").partition("\n")[0] if problems else f"status {response.status}"
            raise GraphQLError(f"the webserver refused a query: {first}")
        return dict(answer["data"])
