// SPDX-License-Identifier: Apache-2.0

/// Why a record was refused. The raw value is the stable code that the log, SQL and HTTP show; a code is never reused
/// for another meaning.
package enum RejectionReason: String, CaseIterable, Sendable {
    /// The bytes are not a record of the topic's schema.
    case undecodable
    /// A line that is not of its file's format: wrong number of columns, invalid JSON.
    case malformedLine = "malformed_line"
    case symbolMissing = "symbol_missing"
    case symbolSyntax = "symbol_syntax"
    case tsMissing = "ts_missing"
    case tsUnreadable = "ts_unreadable"
    case tsBeforeEpoch = "ts_before_1970"
    case tsInFuture = "ts_in_future"
    case tsBeforeRetention = "ts_before_retention"
    case priceMissing = "price_missing"
    case priceUnreadable = "price_unreadable"
    case priceNotFinite = "price_not_finite"
    case priceNotPositive = "price_not_positive"
    case priceOutOfRange = "price_out_of_range"
    case sizeMissing = "size_missing"
    case sizeUnreadable = "size_unreadable"
    case sizeNotFinite = "size_not_finite"
    case sizeNegative = "size_negative"
    case sizeOutOfRange = "size_out_of_range"
    case tradeIDMissing = "trade_id_missing"
    case sourceSyntax = "source_syntax"
    case conditionSyntax = "condition_syntax"
    case unknownSchema = "unknown_schema"
    case factNotFinite = "fact_not_finite"
    case factNegative = "fact_negative"
    case factsMissing = "facts_missing"
    case textSyntax = "text_syntax"
    case postIDMissing = "post_id_missing"
    case postIDSyntax = "post_id_syntax"
    case postKindUnknown = "post_kind_unknown"
    case eventSequenceMissing = "event_sequence_missing"
    case eventKindUnknown = "event_kind_unknown"
    case eventPeriod = "event_period"
    case timeframeSyntax = "timeframe_syntax"
    case barRange = "bar_range"

    /// What is wrong, in a sentence.
    package var sentence: String {
        switch self {
        case .undecodable: "The bytes are not a record of this topic's schema."
        case .malformedLine:
            "The line is not of its file's format: its columns do not match the header, or its JSON is invalid."
        case .symbolMissing: "The record has no symbol."
        case .symbolSyntax:
            "The symbol is not 1 to \(SymbolSyntax.maximumLength) ASCII letters, digits and . - _ : / ^ = & + @ # $ ! * ~ |."
        case .tsMissing: "The record has no time."
        case .tsUnreadable: "The time is neither an epoch count nor RFC 3339."
        case .tsBeforeEpoch: "The time lies before 1970."
        case .tsInFuture: "The time lies further in the future than allowed."
        case .tsBeforeRetention:
            "The trades of its time have been dropped by retention, so it may have been among them."
        case .priceMissing: "The record has no price."
        case .priceUnreadable: "The price is not a number."
        case .priceNotFinite: "The price is not finite."
        case .priceNotPositive: "The price is zero or negative."
        case .priceOutOfRange: "The price is below 1e-100 or above 1e100, where no market is and sums and ratios end."
        case .sizeMissing: "The trade has no size."
        case .sizeUnreadable: "The size is not a number."
        case .sizeNotFinite: "The size is not finite."
        case .sizeNegative: "The size is negative."
        case .sizeOutOfRange: "The size is below 1e-100 (and not 0) or above 1e100, where sums and products end."
        case .tradeIDMissing: "The trade has no id, and ingest gave it none."
        case .sourceSyntax: "The source is not a name as symbols are."
        case .conditionSyntax: "A condition is not UTF-8 text, or holds a zero byte."
        case .unknownSchema:
            "The record was written by a schema that this version does not know: processors are upgraded before sources."
        case .factNotFinite: "A number is not finite."
        case .factNegative: "A price or the volume is negative."
        case .factsMissing: "The record says nothing about its instrument."
        case .textSyntax: "A text holds a zero byte."
        case .postIDMissing: "The post has no id."
        case .postIDSyntax: "The post's id is not a name as symbols are."
        case .postKindUnknown: "The post is neither a comment nor a submission."
        case .eventSequenceMissing: "The event of a source has no number."
        case .eventKindUnknown: "The event of a source is of no kind that this version knows."
        case .eventPeriod: "A gap needs a beginning and an end that is not before it."
        case .timeframeSyntax: "The bar's width is none, or none that this version can read."
        case .barRange: "The bar's highest price is below its lowest."
        }
    }
}
