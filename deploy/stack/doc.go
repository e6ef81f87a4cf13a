// Package stack installs and runs the real servers that tapswitch is tested on: Redis 7 (one node
// and a three-node cluster), Apache Kafka (one KRaft broker) and the current ClickHouse engine
// behind an HTTP front.
//
// It owns the folder .stack of the project root (or the folder that TAPSWITCH_STACK_DIR names):
// what was installed lies there, and so do the data, logs and pid files of the servers that
// stackctl started. Git ignores it. Versions are pinned in versions.go and the SHA-256 of what was
// fetched is kept in checksums.txt; a mismatch stops the install. Redis comes from the system's
// packages, so its version follows security updates and is only reported.
//
// Tests start servers of their own with StartRedis, StartRedisCluster, StartKafka and
// StartClickHouse: on free ports, with data in the folder that the test names, so that packages
// tested side by side do not meet. Such a server dies with the process that started it. Servers of
// Up listen on the fixed ports of versions.go, outlive their starter, and are stopped by Down
// through pid files that also hold the start time of the process, so no other process is hit.
//
// Every server listens on 127.0.0.1 only. A start returns when the server answers its own
// protocol, not when the port opens. A Server is safe for concurrent use.
//
// Durability is that of the server: Redis syncs each write (appendfsync always) unless the test
// asks otherwise, Kafka keeps what the kernel holds after a kill, and the ClickHouse front keeps
// parts that were renamed into place.
//
// The package refuses to download from anywhere but the package registries, to touch a server it
// did not start, and to listen on anything but loopback. It imports the standard library only.
package stack
