"""The platform as a whole: start it, fill it, ask it, stop it. Talks to Dagster over HTTP, never imports it."""
