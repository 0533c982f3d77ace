// SPDX-License-Identifier: Apache-2.0
// Files that are served as they are: read once at the start, then answered from memory.

import CLinux
package import EventLoop
import Glibc

/// A set of files by path. What is not in the set is not served: a path is looked up and never opened, so that none can
/// lead out of it.
package struct StaticFiles: Sendable {
    private struct File: Sendable {
        var bytes: [UInt8]
        var type: String
        var validators: Validators
    }

    /// By path, without a slash in front.
    private var files: [String: File] = [:]

    /// Most bytes of all files of a folder together.
    package static let sizeLimit = 64 * 1024 * 1024

    /// - Parameter files: paths such as `app/main.js` with their content, as resources embedded in the program are.
    package init(_ files: [(path: String, bytes: [UInt8])]) {
        for file in files { add(file.path, file.bytes, modified: nil) }
    }

    /// Reads a folder and those in it; names that begin with a dot, and symbolic links, are left out. Blocks: for
    /// start-up.
    package init(folder: String) throws(SystemError) {
        try read(folder, prefix: "")
    }

    /// The number of files.
    package var count: Int { files.count }

    /// Answers GET and HEAD with the file at `path`, which is decoded and has no slash in front; `index.html` stands for
    /// its folder. Tags, dates, ranges and compression are seen to.
    ///
    /// - Parameter more: fields of every answer with the file.
    /// - Returns: false, and nothing is answered, if there is no such file.
    package func respond(
        to request: Request, _ path: String, _ response: ResponseWriter, cacheControl: String = "no-cache",
        more: Headers = .none
    ) async throws(HTTPError) -> Bool {
        guard let file = files[path.isEmpty || path.hasSuffix("/") ? path + "index.html" : path] else { return false }
        var headers: Headers = ["Cache-Control": cacheControl, "X-Content-Type-Options": "nosniff"]
        headers.add(more)
        if let tag = file.validators.entityTag { headers.add("ETag", tag) }
        if let modified = file.validators.lastModified { headers.add("Last-Modified", httpDate(modified)) }
        switch request.head.preconditions(file.validators) {
        case .notModified:
            // By its type it is known what a 200 would have said of the representation.
            headers.add("Content-Type", file.type)
            try await response.respond(.notModified, headers)
            return true
        case .failed:
            throw HTTPError(.preconditionFailed, code: "precondition_failed", message: "the file has changed")
        case .met: break
        }
        headers.add("Content-Type", file.type)
        headers.add("Accept-Ranges", "bytes")
        switch request.head.range(of: file.bytes.count, file.validators) {
        case .whole: try await response.respond(.ok, headers, file.bytes)
        case .part(let range):
            headers.add("Content-Range", "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(file.bytes.count)")
            try await response.respond(.partialContent, headers, Array(file.bytes[range]))
        case .unsatisfiable:
            try await response.respond(
                .rangeNotSatisfiable, ["Content-Range": "bytes */\(file.bytes.count)", "Accept-Ranges": "bytes"])
        }
        return true
    }

    private mutating func add(_ path: String, _ bytes: [UInt8], modified: Int?) {
        files[path] = File(
            bytes: bytes, type: Self.contentType(of: path),
            validators: Validators(entityTag: Self.entityTag(of: bytes), lastModified: modified))
    }

    /// Length and FNV-1a hash (Fowler, Noll, Vo): tells versions of a file apart, not forgeries.
    private static func entityTag(of bytes: [UInt8]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return "\"\(String(bytes.count, radix: 16))-\(String(hash, radix: 16))\""
    }

    /// The media type by the name's extension; text is UTF-8.
    static func contentType(of path: String) -> String {
        let name = path.split(separator: "/").last ?? ""
        switch name.split(separator: ".").last.map({ $0.lowercased() }) {
        case "html", "htm": return "text/html; charset=utf-8"
        case "css": return "text/css; charset=utf-8"
        case "js", "mjs": return "text/javascript; charset=utf-8"
        case "json", "map": return "application/json"
        case "txt", "md": return "text/plain; charset=utf-8"
        case "csv": return "text/csv; charset=utf-8"
        case "svg": return "image/svg+xml"
        case "png": return "image/png"
        case "jpg", "jpeg": return "image/jpeg"
        case "gif": return "image/gif"
        case "webp": return "image/webp"
        case "ico": return "image/x-icon"
        case "woff2": return "font/woff2"
        case "woff": return "font/woff"
        case "wasm": return "application/wasm"
        case "yaml", "yml": return "application/yaml"
        case "pdf": return "application/pdf"
        default: return "application/octet-stream"
        }
    }

    // MARK: Reading a folder

    private mutating func read(_ folder: String, prefix: String) throws(SystemError) {
        guard let directory = opendir(folder) else { throw SystemError(call: "opendir(\(folder))") }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix(".") { continue }
            let path = "\(folder)/\(name)"
            var status = stat()
            guard lstat(path, &status) == 0 else { throw SystemError(call: "lstat(\(path))") }
            switch status.st_mode & S_IFMT {
            case S_IFDIR: try read(path, prefix: "\(prefix)\(name)/")
            case S_IFREG: add(prefix + name, try Self.content(of: path), modified: status.st_mtim.tv_sec)
            default: continue
            }
            if files.values.reduce(0, { $0 + $1.bytes.count }) > Self.sizeLimit {
                throw SystemError(code: EFBIG, call: "read(\(folder)), more than \(Self.sizeLimit) bytes")
            }
        }
    }

    private static func content(of path: String) throws(SystemError) -> [UInt8] {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0 { throw SystemError(call: "open(\(path))") }
        defer { _ = close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = retryingInterrupted { Glibc.read(descriptor, &chunk, chunk.count) }
            if count < 0 { throw SystemError(call: "read(\(path))") }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            if bytes.count > sizeLimit { return bytes }
        }
    }
}
