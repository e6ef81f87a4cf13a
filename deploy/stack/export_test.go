package stack

import "context"

// The probes let the tests speak to the servers without client libraries.
var (
	RedisCall       = redisCall
	ClickHouseQuery = clickHouseQuery
)

// KafkaCall sends one request by the numbers of Kafka's protocol.
func KafkaCall(ctx context.Context, addr string, api, version uint16, body []byte) ([]byte, error) {
	return kafkaCall(ctx, addr, kafkaRequest{api, version, body})
}
