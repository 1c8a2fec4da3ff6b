#!/bin/bash
# Run a class of Kafka: kafka-run-class.sh kafka.Kafka FILE. KAFKA_HEAP_OPTS, KAFKA_OPTS,
# KAFKA_JVM_PERFORMANCE_OPTS and KAFKA_LOG4J_OPTS are the JVM's options, as everywhere in Kafka.
# shellcheck disable=SC2086  # the options are lists of words
exec java ${KAFKA_HEAP_OPTS:--Xmx256M} ${KAFKA_JVM_PERFORMANCE_OPTS:--server -XX:+UseG1GC} \
  ${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=/opt/kafka/config/log4j2.yaml} \
  -Dkafka.logs.dir=/opt/kafka/logs ${KAFKA_OPTS:-} -cp '/opt/kafka/libs/*' "$@"
