#!/bin/bash
# `kafka-run-class.sh CLASS ARGUMENTS`; by another name, the class of that tool. The variables of Kafka's own scripts set heap, flags and log.
set -eo pipefail
home=/opt/kafka
log=tools-log4j2.yaml heap=-Xmx256M
case "${0##*/}" in
  kafka-configs.sh) class=kafka.admin.ConfigCommand ;;
  kafka-console-consumer.sh) class=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
  kafka-console-producer.sh) class=org.apache.kafka.tools.ConsoleProducer ;;
  kafka-consumer-groups.sh) class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
  kafka-server-start.sh) class=kafka.Kafka log=log4j2.yaml heap='-Xmx1G -Xms1G' ;;
  kafka-storage.sh) class=kafka.tools.StorageTool ;;
  kafka-topics.sh) class=org.apache.kafka.tools.TopicCommand ;;
  *) class=${1:?which class}; shift ;;
esac
# Each of the variables may hold several flags.
# shellcheck disable=SC2086
exec java ${KAFKA_HEAP_OPTS:-$heap} ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseG1GC -XX:MaxGCPauseMillis=20 -Djava.awt.headless=true} \
  -XX:SharedArchiveFile="$home/kafka.jsa" ${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=$home/config/$log} -cp "$home/libs/*" ${KAFKA_OPTS:-} "$class" "$@"
