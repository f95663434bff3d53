#!/bin/sh
# Starts Redis with its password from the secret: on standard input, for every process list shows a command line.
#
# What a client was told is on the disk, so an event that was accepted is not lost (appendfsync always). A file that ends
# in the middle of a command is cut, and the cut is noted in the data: the stream processor refuses to work until
# `capstone stream recover` has reported what cannot be accounted for. Redis itself would only say so in its log.
set -eu

cd "${REDIS_DATA:-/data}"
manifest=appendonlydir/appendonly.aof.manifest
if [ -f "$manifest" ]; then
    if ! redis-check-aof "$manifest"; then
        [ -f torn ] || date +%s >torn
        echo y | redis-check-aof --fix "$manifest"
    fi
    if [ -f torn ]; then
        noticed=$(cat torn)
        newest=$(sed -n 's/^file \(.*\.incr\.aof\) .*/\1/p' "$manifest" | tail -n 1)
        printf '*3\r\n$3\r\nSET\r\n$14\r\nstream:damaged\r\n$%d\r\n%s\r\n' "${#noticed}" "$noticed" >>"appendonlydir/$newest"
        rm torn
    fi
fi

exec redis-server - --appendonly yes --appendfsync always --aof-load-truncated no \
    --save '' --maxmemory 512mb --maxmemory-policy noeviction <<CONFIGURATION
requirepass $(cat "${REDIS_PASSWORD_FILE:-/run/secrets/redis_password}")
CONFIGURATION
