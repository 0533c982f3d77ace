// SPDX-License-Identifier: Apache-2.0
// The symbols as an exchange has them.

import HTTP
import Market
import Postgres

/// Answers with Binance's `exchangeInfo`: what may be asked for, and in which money its prices are.
struct ExchangeQuery {
    let request: ExchangeRequest
    let now: Timestamp
    let body: RowBody

    private static let all = Statement(
        name: "exchange_symbols",
        sql: "select symbol, type, currency, last_ts is not null from market.symbols order by symbol collate \"C\"")
    private static let some = Statement(
        name: "exchange_symbols_of",
        sql: """
            select symbol, type, currency, last_ts is not null from market.symbols where symbol = any($1) \
            order by symbol collate "C"
            """)

    /// A moment as a client reads it.
    static func time(_ time: Timestamp, inMicroseconds: Bool) -> Int64 {
        inMicroseconds ? time.microseconds : floorDivide(time.microseconds, 1000)
    }

    func run(_ lease: Lease) async throws {
        try await lease.run(body) { connection in
            let asked = request.symbols.map { $0.flatMap { DropInRequest.candidates($0, .binance) } }
            let rows =
                if let asked {
                    try await connection.query(Self.some, [.textArray(asked)], deadline: lease.deadline)
                } else {
                    try await connection.query(Self.all, [], deadline: lease.deadline)
                }
            var found: Set<String> = []
            for row in rows { found.insert(try row.string(0)) }
            let wanted = try request.symbols.map { try Self.listed($0, found) }
            appendExchange()
            var isFirst = true
            for row in rows {
                let symbol = try row.string(0)
                guard wanted?.contains(symbol) != false, request.includesSpot,
                    try request.status == nil || request.status == Self.status(row)
                else { continue }
                if !isFirst { body.bytes.append(UInt8(ascii: ",")) }
                isFirst = false
                try append(row, Self.name(symbol, found, request.symbols))
                body.rows += 1
                if body.isFull { try await body.flush() }
            }
            body.bytes.appendText("]}\n")
        }
        try await body.finish()
    }

    /// Ours of the names that were asked for, all of which there must be.
    private static func listed(_ names: [String], _ found: Set<String>) throws(QueryError) -> Set<String> {
        var listed: Set<String> = []
        for name in names {
            guard let symbol = DropInRequest.candidates(name, .binance).first(where: found.contains) else {
                throw QueryError(400, "unknown_symbol", "Invalid symbol.")
            }
            listed.insert(symbol)
        }
        return listed
    }

    /// What a client calls a symbol: Binance's own without the venue, unless that is another one, or it was asked for so.
    static func name(_ symbol: String, _ found: Set<String>, _ asked: [String]?) -> String {
        guard symbol.hasPrefix("BINANCE:"), asked?.contains(symbol) != true else { return symbol }
        let bare = String(symbol.dropFirst(8))
        return found.contains(bare) ? symbol : bare
    }

    /// What has not traded is told as what cannot be.
    private static func status(_ row: ResultSet.Row) throws(PostgresError) -> String {
        try row.bool(3) ? "TRADING" : "BREAK"
    }

    private func appendExchange() {
        let time = Self.time(now, inMicroseconds: request.timeInMicroseconds)
        body.bytes.appendText(
            "{\"timezone\":\"UTC\",\"serverTime\":\(time),\"rateLimits\":[],\"exchangeFilters\":[],\"symbols\":[")
    }

    private func append(_ row: ResultSet.Row, _ name: String) throws(PostgresError) {
        let (base, quote) = Self.assets(
            try row.string(0), type: try row.stringOrNil(1), currency: try row.stringOrNil(2))
        body.bytes.appendText("{\"symbol\":")
        body.bytes.appendJSONString(name)
        body.bytes.appendText(",\"status\":\"\(try Self.status(row))\",\"baseAsset\":")
        body.bytes.appendJSONString(base)
        body.bytes.appendText(",\"baseAssetPrecision\":8,\"quoteAsset\":")
        body.bytes.appendJSONString(quote)
        // Nothing can be ordered here.
        body.bytes.appendText(
            ",\"quotePrecision\":8,\"quoteAssetPrecision\":8,\"baseCommissionPrecision\":8,"
                + "\"quoteCommissionPrecision\":8,\"orderTypes\":[],\"icebergAllowed\":false,\"ocoAllowed\":false,"
                + "\"quoteOrderQtyMarketAllowed\":false,\"allowTrailingStop\":false,\"cancelReplaceAllowed\":false,"
                + "\"isSpotTradingAllowed\":true,\"isMarginTradingAllowed\":false,\"filters\":[],\"permissions\":[],"
                + "\"permissionSets\":[[\"SPOT\"]],\"defaultSelfTradePreventionMode\":\"NONE\","
                + "\"allowedSelfTradePreventionModes\":[\"NONE\"]}")
    }

    /// What is bought, and with what: `COINBASE:BTC-USD`, `OANDA:EUR_USD`, `KRAKEN:XMR/USD`, `BITSTAMP:BTCUSD`. Of what
    /// is no pair the quote is its currency; empty where that is not known.
    static func assets(_ symbol: String, type: String?, currency: String?) -> (base: String, quote: String) {
        let name = (symbol.split(separator: ":", maxSplits: 1).last.map(String.init) ?? symbol).uppercased()
        let whole = (name, currency ?? "")
        // Shares may be called like pairs: BRK-B.
        guard type == nil || ["crypto", "forex"].contains(where: { type?.lowercased().contains($0) == true }) else {
            return whole
        }
        let known = (symbol.hasPrefix("BINANCE") ? ownQuotes : []) + quotes
        for quote in known where name.count > quote.count && name.hasSuffix(quote) {
            let base = name.dropLast(quote.count)
            if let last = base.last, "-/_".contains(last) {
                return base.count > 1 ? (String(base.dropLast()), quote) : whole
            }
            // No share is called so.
            if symbol.contains(":") || ["USDT", "USDC"].contains(quote) { return (String(base), quote) }
        }
        return whole
    }

    /// Binance has no pairs in USD, but in coins whose names end so; elsewhere DOTUSD is DOT in USD.
    private static let ownQuotes = ["FDUSD", "TUSD", "BUSD"]
    /// What crypto and foreign exchange are quoted in.
    private static let quotes = [
        "USDT", "USDC", "USDP", "DAI", "USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "NZD",
        "TRY", "BRL", "KRW", "INR", "MXN", "PLN", "ZAR", "CZK", "SEK", "NOK", "SGD", "HKD", "CNH", "BTC", "ETH", "BNB",
        "XBT",
    ]
}
