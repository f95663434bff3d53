import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from orchestration.lifecycle.graphql import DagsterGraphQL, GraphQLError, WebserverUnavailableError

Serve = Callable[[int, str], DagsterGraphQL]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[HTTPServer] = []

    def start(status: int, body: str) -> DagsterGraphQL:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return DagsterGraphQL(server.server_port, timeout_seconds=5)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_data_of_an_answer_is_returned(serve: Serve) -> None:
    assert serve(200, json.dumps({"data": {"version": "1"}})).query("{version}") == {"version": "1"}


def test_an_error_of_the_server_is_reduced_to_its_first_line(serve: Serve) -> None:
    client = serve(200, json.dumps({"data": None, "errors": [{"message": "no such field\n[SQL: a hundred lines]"}]}))
    with pytest.raises(GraphQLError, match=r"no such field$"):
        client.query("{x}")


def test_an_answer_that_is_no_json_names_its_status(serve: Serve) -> None:
    with pytest.raises(GraphQLError, match="502"):
        serve(502, "<html>").query("{x}")


def test_a_webserver_that_is_not_there_is_told_with_the_way_to_start_it(unused_port: int) -> None:
    with pytest.raises(WebserverUnavailableError, match="capstone up"):
        DagsterGraphQL(unused_port, timeout_seconds=1).query("{x}")


@pytest.fixture
def unused_port() -> int:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_port
