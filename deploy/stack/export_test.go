package stack

// RedisCall lets the tests speak to Redis without a client library.
var RedisCall = redisCall
