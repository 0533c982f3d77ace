// SPDX-License-Identifier: Apache-2.0
// Why a query failed, as a Trino client is told it.

import TrinoSQL

/// An error of Trino's, with what PostgreSQL called it.
struct TrinoFailure: Error, Equatable, Sendable {
    var error: TrinoError
    /// PostgreSQL's, where it was the one to complain.
    var sqlState: String?

    init(_ error: TrinoError, sqlState: String? = nil) {
        self.error = error
        self.sqlState = sqlState
    }

    init(_ code: TrinoErrorCode, _ message: String) { self.init(TrinoError(code, message)) }

    /// Appends the member `error` of a result, with its name.
    func append(to json: inout [UInt8]) {
        json.appendText("\"error\":{\"message\":")
        json.appendJSONString(error.message)
        if let sqlState {
            json.appendText(",\"sqlState\":")
            json.appendJSONString(sqlState)
        }
        json.appendText(",\"errorCode\":\(error.code.code),\"errorName\":\"\(error.code.name)\"")
        json.appendText(",\"errorType\":\"\(error.code.type.rawValue)\"")
        appendLocation(to: &json)
        let type = error.code == .syntaxError ? "io.trino.sql.parser.ParsingException" : "io.trino.spi.TrinoException"
        json.appendText(",\"failureInfo\":{\"type\":\"\(type)\",\"message\":")
        json.appendJSONString(error.message)
        json.appendText(",\"suppressed\":[],\"stack\":[]")
        appendLocation(to: &json)
        json.appendText("}}")
    }

    private func appendLocation(to json: inout [UInt8]) {
        guard let location = error.location else { return }
        json.appendText(",\"errorLocation\":{\"lineNumber\":\(location.line),\"columnNumber\":\(location.column)}")
    }
}
