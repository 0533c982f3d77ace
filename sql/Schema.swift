// SPDX-License-Identifier: Apache-2.0

/// A migration: one `NNNN_name.sql` of this folder, embedded in the binary.
package struct Migration: Sendable {
    /// The number in front of the name; migrations run in its order.
    package let version: Int
    package let name: String
    package let sql: String

    init(_ version: Int, _ name: String, _ bytes: [UInt8]) {
        self.version = version
        self.name = name
        sql = String(decoding: bytes, as: UTF8.self)
    }

    /// Every migration, in order. A released migration never changes; what it did wrong, a later one puts right.
    package static let all: [Migration] = [
        Migration(1, "roles_and_schemas", PackageResources._001_roles_and_schemas_sql),
        Migration(2, "trades_and_bars", PackageResources._002_trades_and_bars_sql),
        Migration(3, "reference_and_ops", PackageResources._003_reference_and_ops_sql),
        Migration(4, "functions", PackageResources._004_functions_sql),
        Migration(5, "indicators", PackageResources._005_indicators_sql),
        Migration(6, "trino_functions", PackageResources._006_trino_functions_sql),
        Migration(7, "trino_metadata", PackageResources._007_trino_metadata_sql),
        Migration(8, "alerts_and_retention", PackageResources._008_alerts_and_retention_sql),
        Migration(9, "posts_and_forecasts", PackageResources._009_posts_and_forecasts_sql),
        Migration(10, "trino_activity", PackageResources._010_trino_activity_sql),
        Migration(11, "api_keys", PackageResources._011_api_keys_sql),
        Migration(12, "source_events", PackageResources._012_source_events_sql),
        Migration(13, "live", PackageResources._013_live_sql),
        Migration(15, "source_bars", PackageResources._015_source_bars_sql),
        Migration(16, "processors", PackageResources._016_processors_sql),
        Migration(20, "trino_more", PackageResources._020_trino_more_sql),
        Migration(23, "processor_lag", PackageResources._023_processor_lag_sql),
        Migration(25, "sequence_limit", PackageResources._025_sequence_limit_sql),
        Migration(26, "trino_exact", PackageResources._026_trino_exact_sql),
        Migration(27, "settled", PackageResources._027_settled_sql),
        Migration(28, "trino_runtime", PackageResources._028_trino_runtime_sql),
        Migration(29, "trino_functions", PackageResources._029_trino_functions_sql),
        Migration(31, "processor_lag_seconds", PackageResources._031_processor_lag_seconds_sql),
        Migration(32, "trino_corrections", PackageResources._032_trino_corrections_sql),
        Migration(33, "trino_bytes_and_vectors", PackageResources._033_trino_bytes_and_vectors_sql),
        Migration(34, "functions_of_market", PackageResources._034_functions_of_market_sql),
        Migration(35, "trino_intervals", PackageResources._035_trino_intervals_sql),
        Migration(36, "trino_shifts", PackageResources._036_trino_shifts_sql),
        Migration(37, "trino_division", PackageResources._037_trino_division_sql),
        Migration(38, "trino_values", PackageResources._038_trino_values_sql),
    ]
}
