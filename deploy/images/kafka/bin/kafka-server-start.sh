#!/bin/bash
# Start a broker or a controller: kafka-server-start.sh FILE. 1 GB of heap unless told otherwise.
export KAFKA_HEAP_OPTS="${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G}"
exec "$(dirname "$0")/kafka-run-class.sh" kafka.Kafka "$@"
