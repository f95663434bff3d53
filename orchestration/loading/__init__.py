"""Loading: the COPY loader, the importers and seeds that use it, and the window of days they fill."""
