// SPDX-License-Identifier: Apache-2.0

import CKafka
import Dispatch
import EventLog
import Logging
import Synchronization

/// A client of librdkafka: one producer, or one member of a group.
///
/// Rule of `@unchecked Sendable`: librdkafka's handles may be used by any thread; `close` is called once, last.
final class KafkaHandle: @unchecked Sendable {
    enum Role {
        case producer
        /// A member of a group, or one who only asks for its offsets.
        case consumer(group: String)
    }

    /// For a client that is polled: one that is not would keep every report for ever.
    static let reporting = [("statistics.interval.ms", "5000")]

    let pointer: OpaquePointer
    /// What librdkafka's callbacks are given; lives as long as the handle.
    private let observer: KafkaObserver
    private let isClosed = Atomic(false)

    /// What Tapedeck sets unless told otherwise.
    private static let defaults: [(name: String, value: String)] = [
        ("client.id", "tapedeck"), ("compression.type", "lz4"), ("partition.assignment.strategy", "cooperative-sticky"),
        // A member that dies is missed after ten seconds rather than 45.
        ("session.timeout.ms", "10000"), ("heartbeat.interval.ms", "2000"),
        // An append that cannot be delivered fails after this long, and its source tries again.
        ("message.timeout.ms", "30000"), ("linger.ms", "5"),
        // Memory that a consumer's library holds of records nobody has asked for yet.
        ("queued.max.messages.kbytes", "16384"),
    ]

    /// What the promises of the log rest on.
    private static func fixed(_ role: Role) -> [(name: String, value: String)] {
        switch role {
        case .producer:
            // What is in flight is bounded by the log itself, before librdkafka's own queue could refuse anything.
            [
                ("enable.idempotence", "true"), ("queue.buffering.max.messages", "10000000"),
                ("queue.buffering.max.kbytes", "2097151"),
            ]
        case .consumer(let group):
            [
                ("group.id", group), ("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"), ("enable.partition.eof", "true"),
                ("isolation.level", "read_committed"), ("allow.auto.create.topics", "false"),
            ]
        }
    }

    /// - Parameters:
    ///   - configure: sets callbacks before the handle exists.
    init(
        _ role: Role, _ location: KafkaLocation, _ observer: KafkaObserver, properties: [(String, String)] = [],
        configure: (OpaquePointer) -> Void = { _ in }
    ) throws(EventLogError) {
        guard let configuration = rd_kafka_conf_new() else { throw EventLogError(.unavailable, "out of memory") }
        let isProducer = if case .consumer = role { false } else { true }
        var values = Dictionary(Self.defaults.map { ($0.name, $0.value) }) { _, last in last }
        values.merge(location.properties) { _, given in given }
        for (name, value) in properties { values[name] = value }
        values["bootstrap.servers"] = location.brokers
        for (name, value) in Self.fixed(role) { values[name] = value }
        var message = [CChar](repeating: 0, count: 512)
        for (name, value) in values.sorted(by: { $0.key < $1.key }) where Self.concerns(name, producer: isProducer) {
            // A value may be a secret, and so may librdkafka's message about it.
            if rd_kafka_conf_set(configuration, name, value, &message, message.count) != RD_KAFKA_CONF_OK {
                rd_kafka_conf_destroy(configuration)
                throw EventLogError(.unavailable, "the Kafka property \(name) is not accepted")
            }
        }
        self.observer = observer
        rd_kafka_conf_set_opaque(configuration, Unmanaged.passUnretained(observer).toOpaque())
        rd_kafka_conf_set_log_cb(configuration, KafkaObserver.logCallback)
        rd_kafka_conf_set_error_cb(configuration, KafkaObserver.errorCallback)
        rd_kafka_conf_set_stats_cb(configuration, KafkaObserver.statisticsCallback)
        configure(configuration)
        let type = isProducer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER
        guard let pointer = rd_kafka_new(type, configuration, &message, message.count) else {
            rd_kafka_conf_destroy(configuration)
            throw EventLogError(.unavailable, "the Kafka client does not start: \(Self.text(message))")
        }
        self.pointer = pointer
    }

    deinit {
        // Ending a client waits for its threads, which must not happen on an event loop.
        let pointer = Pointer(self.pointer)
        let observer = self.observer
        if !isClosed.load(ordering: .relaxed) {
            KafkaEventLog.calls.async { withExtendedLifetime(observer) { rd_kafka_destroy(pointer.value) } }
        }
    }

    /// Ends the client; blocks until its threads have gone.
    func destroy() {
        if !isClosed.exchange(true, ordering: .relaxed) { rd_kafka_destroy(pointer) }
    }

    /// Leaves a client that cannot be ended to the end of the process, with what its callbacks are given.
    func abandon() {
        if !isClosed.exchange(true, ordering: .relaxed) { _ = Unmanaged.passRetained(observer) }
    }

    /// Properties that only the other side knows, which librdkafka would warn about.
    private static func concerns(_ name: String, producer: Bool) -> Bool {
        let ofConsumers: Set = [
            "partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms",
            "queued.max.messages.kbytes", "queued.min.messages", "group.instance.id", "fetch.wait.max.ms",
            "fetch.min.bytes", "fetch.error.backoff.ms", "max.poll.interval.ms",
        ]
        let ofProducers: Set = ["compression.type", "compression.codec", "message.timeout.ms", "linger.ms"]
        return producer ? !ofConsumers.contains(name) : !ofProducers.contains(name)
    }

    /// What is wrong with a property, in words that do not repeat its value; nil if it is accepted.
    static func problem(with name: String, _ value: String) -> String? {
        let configuration = rd_kafka_conf_new()
        defer { rd_kafka_conf_destroy(configuration) }
        switch rd_kafka_conf_set(configuration, name, value, nil, 0) {
        case RD_KAFKA_CONF_OK: return nil
        case RD_KAFKA_CONF_UNKNOWN: return "not one of librdkafka's"
        default: return "set to a value that librdkafka does not accept"
        }
    }

    static func text(_ message: [CChar]) -> String {
        message.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }
}

/// A pointer that crosses threads. Rule of `@unchecked Sendable`: what it points to may.
struct Pointer: @unchecked Sendable {
    let value: OpaquePointer
    init(_ value: OpaquePointer) { self.value = value }
}

/// Hears what librdkafka's threads say: passes log lines on and remembers the last error.
final class KafkaObserver: Sendable {
    let logger: Logger
    private let lastError = Mutex<rd_kafka_resp_err_t?>(nil)
    private let member = Mutex(Member())

    private struct Member {
        weak var consumer: KafkaConsumer?
    }

    /// The consumer whose handle this observes.
    var consumer: KafkaConsumer? { member.withLock { $0.consumer } }

    func observe(_ consumer: KafkaConsumer) { member.withLock { $0.consumer = consumer } }

    init(_ logger: Logger) { self.logger = logger }

    private let latest = Mutex<KafkaStatistics?>(nil)

    /// What librdkafka told last of the client that this observes; nil before the first time.
    var statistics: KafkaStatistics? { latest.withLock { $0 } }

    /// From whichever thread polls the handle.
    static let statisticsCallback:
        @convention(c) (OpaquePointer?, UnsafeMutablePointer<CChar>?, Int, UnsafeMutableRawPointer?) -> CInt = {
            _, json, count, opaque in
            guard let json, let opaque else { return 0 }
            let observer = Unmanaged<KafkaObserver>.fromOpaque(opaque).takeUnretainedValue()
            if let statistics = KafkaStatistics(json: UnsafeRawBufferPointer(start: json, count: count)) {
                observer.latest.withLock { $0 = statistics }
            }
            // The text is librdkafka's, which frees it.
            return 0
        }

    /// What stands in the way of reaching the brokers, for an error that would otherwise only say that time ran out.
    var trouble: rd_kafka_resp_err_t? { lastError.withLock { $0 } }

    /// From librdkafka's threads.
    static let logCallback:
        @convention(c) (OpaquePointer?, CInt, UnsafePointer<CChar>?, UnsafePointer<CChar>?) -> Void = {
            handle, level, facility, text in
            guard let handle, let text, let opaque = rd_kafka_opaque(handle) else { return }
            let observer = Unmanaged<KafkaObserver>.fromOpaque(opaque).takeUnretainedValue()
            // Levels of syslog. Cut connections are every day's business of a client that connects again by itself.
            let severity: Logger.Level = level <= 2 ? .error : level <= 4 ? .info : .debug
            observer.logger.log(
                level: severity, "\(String(cString: text))",
                metadata: ["kafka": "\(facility.map { String(cString: $0) } ?? "")"])
        }

    /// From whichever thread polls the handle.
    static let errorCallback:
        @convention(c) (OpaquePointer?, CInt, UnsafePointer<CChar>?, UnsafeMutableRawPointer?) -> Void = {
            _, code, _, opaque in
            guard let opaque else { return }
            let observer = Unmanaged<KafkaObserver>.fromOpaque(opaque).takeUnretainedValue()
            let error = rd_kafka_resp_err_t(rawValue: code)
            observer.lastError.withLock { $0 = error }
        }
}

/// librdkafka's error codes as errors of the log.
enum KafkaFailure {
    /// What an operator must change before trying again can help, and how.
    private static let permanent: [rd_kafka_resp_err_t.RawValue: String] = [
        RD_KAFKA_RESP_ERR__AUTHENTICATION.rawValue: "check sasl.username, sasl.password and security.protocol",
        RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED.rawValue: "check sasl.username and sasl.password",
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED.rawValue:
            "allow Tapedeck's user to read, write and describe its topics",
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED.rawValue: "allow Tapedeck's user the groups tapedeck.*",
        RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED.rawValue: "allow Tapedeck's user idempotent writes",
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE.rawValue: "raise max.message.bytes of the topic and message.max.bytes",
        RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR.rawValue:
            "set TAPEDECK_REPLICATION to the number of brokers or less",
        RD_KAFKA_RESP_ERR_POLICY_VIOLATION.rawValue: "the broker's policy refuses it",
        RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID.rawValue: "two processes have the same group.instance.id",
        RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE.rawValue: "choose another compression.type",
        RD_KAFKA_RESP_ERR__INVALID_ARG.rawValue: "this is a defect of Tapedeck",
    ]

    static func error(
        _ code: rd_kafka_resp_err_t, _ what: String, trouble: rd_kafka_resp_err_t? = nil
    ) -> EventLogError {
        // What stands behind a timeout says more than the timeout.
        if let trouble, permanent[trouble.rawValue] != nil, permanent[code.rawValue] == nil {
            return error(trouble, what)
        }
        let text = String(cString: rd_kafka_err2str(code))
        switch code {
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
            RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
            return EventLogError(.unknownTopic, "\(what): \(text); 'tapedeck topics' creates what is missing")
        default:
            if let hint = permanent[code.rawValue] { return EventLogError(.failed, "\(what): \(text); \(hint)") }
            return EventLogError(.failed, "\(what): \(text)", isRetriable: true)
        }
    }

    /// The error an object of librdkafka stands for, which goes with it; nil for none.
    static func take(_ object: OpaquePointer?, _ what: String) -> EventLogError? {
        guard let object else { return nil }
        defer { rd_kafka_error_destroy(object) }
        return error(rd_kafka_error_code(object), what)
    }
}
