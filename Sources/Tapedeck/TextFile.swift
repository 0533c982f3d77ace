// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Small text files of the data folder.
enum TextFile {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// The whole of a file.
    static func read(_ path: String) throws -> String {
        guard let file = fopen(path, "re") else {
            throw Failure(description: "cannot read \(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
