"""How sensors report assets that the platform keeps by itself: as materialized, of one version for ever.

An asset that was only observed counts as missing in the graph. A new version at each report would mark everything
downstream as out of date, several times an hour, though what is built from a day is built when the day is over.
"""

# The version that Dagster gives an asset of which nothing was ever reported: the first report changes nothing either.
SAME_VERSION = {"dagster/data_version": "INITIAL"}
