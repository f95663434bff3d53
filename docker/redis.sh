#!/bin/sh
# Starts Redis with its password from the secret: on standard input, for every process list shows a command line.
set -eu
exec redis-server - --appendonly yes --appendfsync everysec --maxmemory 512mb --maxmemory-policy noeviction <<CONFIGURATION
requirepass $(cat /run/secrets/redis_password)
CONFIGURATION
