package stack

// Pinned versions. A new version is a change of this file, of kafka/pom.xml or chdbfront/go.mod,
// and of checksums.txt (stackctl checksums prints the new lines).
const (
	// KafkaVersion is the version of org.apache.kafka:kafka_2.13 in kafka/pom.xml.
	KafkaVersion = "4.1.1"
	// ChdbVersion is the version of the npm package that holds libchdb.so.
	ChdbVersion = "26.5.3"
	// ChdbPackage is the npm package that holds libchdb.so.
	ChdbPackage = "@chdb/lib-linux-x64-gnu"
	// MavenDependencyPlugin copies the Kafka jars; a plugin without a version follows Maven's own.
	MavenDependencyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:2.8"
	// RedisMajorMin is the oldest Redis that will do: scripts with a #! header came with 7.0.
	RedisMajorMin = 7
	// JavaMajorMin is the oldest JDK that runs Kafka 4.
	JavaMajorMin = 17
)

// Fixed loopback ports of the servers that Up starts, away from the servers' usual ones so that a
// server already on the machine is never met.
const (
	RedisPort = 16379
	// RedisClusterPort is the first of RedisClusterNodes ports in a row.
	RedisClusterPort = 17001
	// RedisClusterNodes is the number of masters; three is the fewest that redis-cli accepts too.
	RedisClusterNodes = 3
	KafkaPort         = 19092
	// KafkaControllerPort carries the broker's own quorum, no client needs it.
	KafkaControllerPort = 19093
	ClickHousePort      = 18123
)
