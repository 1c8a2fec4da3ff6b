#!/bin/bash
# Format a data folder, or make a cluster's id: kafka-storage.sh format|info|random-uuid.
exec "$(dirname "$0")/kafka-run-class.sh" kafka.tools.StorageTool "$@"
