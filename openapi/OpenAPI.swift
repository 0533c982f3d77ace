// SPDX-License-Identifier: Apache-2.0
// The REST contract, `openapi.yaml` of this folder, as the server hands it out.

import Yams

/// The contract, embedded in the binary.
package enum OpenAPI {
    /// `openapi.yaml`, as it is.
    package static let yaml: [UInt8] = PackageResources.openapi_yaml

    /// Why the contract cannot be read: a defect, which a test finds.
    package struct Malformed: Error {
        /// The line, from 1, and what is wrong there.
        package let description: String
    }

    /// The same as JSON, members in their order and aliases written out.
    package static func json() throws(Malformed) -> [UInt8] {
        let root: Node?
        do {
            root = try Yams.compose(yaml: String(decoding: yaml, as: UTF8.self))
        } catch {
            throw Malformed(description: "\(error)")
        }
        guard let root else { throw Malformed(description: "the contract is empty") }
        var bytes: [UInt8] = []
        append(root, to: &bytes)
        return bytes
    }

    private static func append(_ node: Node, to bytes: inout [UInt8]) {
        switch node {
        case .mapping(let mapping):
            bytes.append(UInt8(ascii: "{"))
            for (index, pair) in mapping.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                append(text: pair.key.string ?? "", to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                append(pair.value, to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        case .sequence(let sequence):
            bytes.append(UInt8(ascii: "["))
            for (index, element) in sequence.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                append(element, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .scalar(let scalar): append(scalar, to: &bytes)
        case .alias: preconditionFailure("an alias that was not resolved")
        }
    }

    /// Only plain scalars are numbers, booleans or null; in quotes they are text (YAML 1.2.2, 10.3.2).
    private static func append(_ scalar: Node.Scalar, to bytes: inout [UInt8]) {
        let text = scalar.string
        guard scalar.style == .plain || scalar.style == .any else { return append(text: text, to: &bytes) }
        switch text {
        case "null", "~", "": bytes += Array("null".utf8)
        case "true", "false": bytes += Array(text.utf8)
        default:
            let isNumber =
                text.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/) != nil
            if isNumber { bytes += Array(text.utf8) } else { append(text: text, to: &bytes) }
        }
    }

    private static func append(text: String, to bytes: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 0x0A: bytes += Array("\\n".utf8)
            case 0..<0x20: bytes += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
