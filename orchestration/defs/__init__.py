"""All that Dagster sees, and only that: every decision worth a test without Dagster lives in a library package."""
