#!/bin/sh
# Parses the dbt project into dbt_project/target/manifest.json. Parsing opens no connection, but the profile names
# variables that have no default: they get placeholders here, which no run ever sees.
set -eu
cd "$(dirname "$0")/.."

export CAPSTONE_CELL=na
for cell in NA EU APAC; do
    export "CAPSTONE_${cell}_HOST=unused" "CAPSTONE_${cell}_PORT=1" "CAPSTONE_${cell}_DATABASE=unused"
    export "CAPSTONE_${cell}_TRANSFORMER_PASSWORD=unused"
done
exec "${DBT:-dbt}" --no-send-anonymous-usage-stats parse --project-dir dbt_project --profiles-dir dbt_project
