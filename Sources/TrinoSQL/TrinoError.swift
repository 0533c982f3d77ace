// SPDX-License-Identifier: Apache-2.0

/// Who is at fault, as Trino's clients sort errors.
package enum TrinoErrorType: String, Sendable, Equatable {
    case userError = "USER_ERROR"
    case internalError = "INTERNAL_ERROR"
    case insufficientResources = "INSUFFICIENT_RESOURCES"
    case external = "EXTERNAL"
}

/// An error's name and number, from Trino's StandardErrorCode.
package struct TrinoErrorCode: Sendable, Equatable {
    package let name: String
    package let code: Int
    package let type: TrinoErrorType

    private init(_ name: String, _ code: Int, _ type: TrinoErrorType = .userError) {
        self.name = name
        self.code = code
        self.type = type
    }

    package static let genericUserError = Self("GENERIC_USER_ERROR", 0)
    package static let syntaxError = Self("SYNTAX_ERROR", 1)
    package static let abandonedQuery = Self("ABANDONED_QUERY", 2)
    package static let userCanceled = Self("USER_CANCELED", 3)
    package static let permissionDenied = Self("PERMISSION_DENIED", 4)
    package static let notFound = Self("NOT_FOUND", 5)
    package static let functionNotFound = Self("FUNCTION_NOT_FOUND", 6)
    package static let invalidFunctionArgument = Self("INVALID_FUNCTION_ARGUMENT", 7)
    package static let divisionByZero = Self("DIVISION_BY_ZERO", 8)
    package static let invalidCastArgument = Self("INVALID_CAST_ARGUMENT", 9)
    package static let operatorNotFound = Self("OPERATOR_NOT_FOUND", 10)
    package static let notSupported = Self("NOT_SUPPORTED", 13)
    package static let invalidSessionProperty = Self("INVALID_SESSION_PROPERTY", 14)
    package static let invalidWindowFrame = Self("INVALID_WINDOW_FRAME", 15)
    package static let numericValueOutOfRange = Self("NUMERIC_VALUE_OUT_OF_RANGE", 19)
    package static let unknownTransaction = Self("UNKNOWN_TRANSACTION", 20)
    package static let notInTransaction = Self("NOT_IN_TRANSACTION", 21)
    package static let transactionAlreadyAborted = Self("TRANSACTION_ALREADY_ABORTED", 22)
    package static let readOnlyViolation = Self("READ_ONLY_VIOLATION", 23)
    package static let unsupportedIsolationLevel = Self("UNSUPPORTED_ISOLATION_LEVEL", 26)
    package static let subqueryMultipleRows = Self("SUBQUERY_MULTIPLE_ROWS", 28)
    package static let procedureNotFound = Self("PROCEDURE_NOT_FOUND", 29)
    package static let invalidProcedureArgument = Self("INVALID_PROCEDURE_ARGUMENT", 30)
    package static let ambiguousFunctionCall = Self("AMBIGUOUS_FUNCTION_CALL", 32)
    package static let queryTextTooLarge = Self("QUERY_TEXT_TOO_LARGE", 35)
    package static let administrativelyKilled = Self("ADMINISTRATIVELY_KILLED", 38)
    package static let typeNotFound = Self("TYPE_NOT_FOUND", 43)
    package static let catalogNotFound = Self("CATALOG_NOT_FOUND", 44)
    package static let schemaNotFound = Self("SCHEMA_NOT_FOUND", 45)
    package static let tableNotFound = Self("TABLE_NOT_FOUND", 46)
    package static let columnNotFound = Self("COLUMN_NOT_FOUND", 47)
    package static let duplicateNamedQuery = Self("DUPLICATE_NAMED_QUERY", 53)
    package static let duplicateColumnName = Self("DUPLICATE_COLUMN_NAME", 54)
    package static let missingColumnName = Self("MISSING_COLUMN_NAME", 55)
    package static let missingCatalogName = Self("MISSING_CATALOG_NAME", 56)
    package static let missingSchemaName = Self("MISSING_SCHEMA_NAME", 57)
    package static let typeMismatch = Self("TYPE_MISMATCH", 58)
    package static let invalidLiteral = Self("INVALID_LITERAL", 59)
    package static let mismatchedColumnAliases = Self("MISMATCHED_COLUMN_ALIASES", 61)
    package static let ambiguousName = Self("AMBIGUOUS_NAME", 62)
    package static let invalidColumnReference = Self("INVALID_COLUMN_REFERENCE", 63)
    package static let missingOrderBy = Self("MISSING_ORDER_BY", 65)
    package static let missingOver = Self("MISSING_OVER", 66)
    package static let nestedAggregation = Self("NESTED_AGGREGATION", 67)
    package static let nestedWindow = Self("NESTED_WINDOW", 68)
    package static let expressionNotInDistinct = Self("EXPRESSION_NOT_IN_DISTINCT", 69)
    package static let functionNotWindow = Self("FUNCTION_NOT_WINDOW", 71)
    package static let functionNotAggregate = Self("FUNCTION_NOT_AGGREGATE", 72)
    package static let expressionNotAggregate = Self("EXPRESSION_NOT_AGGREGATE", 73)
    package static let expressionNotScalar = Self("EXPRESSION_NOT_SCALAR", 74)
    package static let invalidArguments = Self("INVALID_ARGUMENTS", 76)
    package static let invalidParameterUsage = Self("INVALID_PARAMETER_USAGE", 80)
    package static let invalidLimitClause = Self("INVALID_LIMIT_CLAUSE", 90)
    package static let invalidWindowReference = Self("INVALID_WINDOW_REFERENCE", 93)
    package static let genericInternalError = Self("GENERIC_INTERNAL_ERROR", 65536, .internalError)
    package static let serverShuttingDown = Self("SERVER_SHUTTING_DOWN", 65545, .internalError)
    package static let genericInsufficientResources = Self(
        "GENERIC_INSUFFICIENT_RESOURCES", 131072, .insufficientResources)
    package static let queryQueueFull = Self("QUERY_QUEUE_FULL", 131074, .insufficientResources)
    package static let exceededTimeLimit = Self("EXCEEDED_TIME_LIMIT", 131075, .insufficientResources)
    package static let exceededMemoryLimit = Self("EXCEEDED_LOCAL_MEMORY_LIMIT", 131079, .insufficientResources)
}

/// An error as Trino's clients expect it.
package struct TrinoError: Error, Sendable, Equatable {
    package var code: TrinoErrorCode
    /// The text as Trino writes it: with a location, it begins with `line L:C: `. Clients parse it.
    package var message: String
    package var location: TrinoLocation?

    /// `message` is without the location; it is put in front.
    package init(_ code: TrinoErrorCode, _ message: String, at location: TrinoLocation? = nil) {
        self.code = code
        self.message = location.map { "line \($0.line):\($0.column): \(message)" } ?? message
        self.location = location
    }
}

/// What is wrong with a statement before PostgreSQL sees it.
package typealias TrinoSyntaxError = TrinoError
