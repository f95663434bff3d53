"""What in a request names a tenant, and which errors say that nothing does."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.cells.tenant_context import MalformedTenantError
from orchestration.cells.tenant_resolution import named_tenant
from orchestration.cells.usage_meter import LATENCY_BUCKETS, latency_bucket

ID = "6f1c2f0a-6a0e-4f0f-9d43-8f6f0a3b7c51"
DOMAIN = "shops.example"


@pytest.mark.parametrize(
    ("host", "headers", "named"),
    [
        ("acme.shops.example", {}, "acme"),
        ("ACME.Shops.Example.:8443", {}, "acme"),
        ("a.shops.example", {}, "a"),
        (None, {"X-Tenant": "acme"}, "acme"),
        ("shops.example", {"x-tenant": ID.upper()}, UUID(ID)),
        ("acme.shops.example", {"X-TENANT": " acme "}, "acme"),
    ],
)
def test_a_host_or_a_header_names_a_tenant(host: str | None, headers: dict[str, str], named: UUID | str) -> None:
    assert named_tenant(host, headers, DOMAIN) == named


@pytest.mark.parametrize(
    ("host", "headers", "says"),
    [
        (None, {}, "names no tenant"),
        ("shops.example", {}, "names no tenant"),
        ("", {}, "not a tenant's"),
        ("acme.other.example", {}, "not a tenant's"),
        ("a.b.shops.example", {}, "not a tenant's"),
        ("evilshops.example", {}, "not a tenant's"),
        ("ac_me.shops.example", {}, "no subdomain"),
        ("-acme.shops.example", {}, "no subdomain"),
        (f"{'a' * 51}.shops.example", {}, "no subdomain"),
        ("\uff41cme.shops.example", {}, "no subdomain"),
        (None, {"X-Tenant": "' or '1'='1"}, "neither"),
        (None, {"X-Tenant": ""}, "neither"),
        (None, {"X-Tenant": ID[:-1]}, None),
        (None, {"X-Tenant": "acme", "x-tenant": "other"}, "more than once"),
        ("acme.shops.example", {"X-Tenant": "other"}, "different tenants"),
    ],
)
def test_what_names_none_or_two_is_malformed(host: str | None, headers: dict[str, str], says: str | None) -> None:
    if says is None:
        # Not a UUID, but it may be somebody's subdomain.
        assert named_tenant(host, headers, DOMAIN) == headers["X-Tenant"]
        return
    with pytest.raises(MalformedTenantError, match=says) as raised:
        named_tenant(host, headers, DOMAIN)
    assert raised.value.status == 400


@given(host=st.none() | st.text(max_size=80), header=st.none() | st.text(max_size=80))
def test_whatever_a_request_says_ends_in_a_name_or_is_malformed(host: str | None, header: str | None) -> None:
    headers = {} if header is None else {"X-Tenant": header}
    try:
        named = named_tenant(host, headers, DOMAIN)
    except MalformedTenantError:
        return
    assert isinstance(named, UUID) or named.isascii()


@given(st.integers(0, 10**9))
def test_a_latency_is_in_the_bucket_whose_bounds_are_around_it(microseconds: int) -> None:
    bucket = latency_bucket(microseconds)
    if bucket < LATENCY_BUCKETS - 1:
        assert microseconds <= 1000 * 2**bucket
    if bucket:
        assert microseconds > 1000 * 2 ** (bucket - 1)
