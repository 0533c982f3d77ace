// SPDX-License-Identifier: Apache-2.0
#ifndef TAPEDECK_CKAFKA_H
#define TAPEDECK_CKAFKA_H
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

// Variadic, which Swift cannot call. The next request of kind `api_key` at a broker gets `error` after `rtt_ms`.
static inline rd_kafka_resp_err_t tapedeck_mock_push_error_rtt(
    rd_kafka_mock_cluster_t *cluster, int32_t broker, int16_t api_key, rd_kafka_resp_err_t error, int rtt_ms) {
    return rd_kafka_mock_broker_push_request_error_rtts(cluster, broker, api_key, 1, error, rtt_ms);
}
#endif
