"""Great Expectations suites as Dagster asset checks. Knows nothing of this project: usable with any suite and asset.

- ``suite``: a suite as files, one SQL rule each;
- ``validation``: run a suite against a database, get a plain result;
- ``data_docs``: the HTML pages of the last validations;
- ``asset_check``: a result as a Dagster ``AssetCheckResult`` (the only module here that imports Dagster).

Great Expectations is imported when a suite is run, never before: its import takes 4 to 19 seconds.
"""
